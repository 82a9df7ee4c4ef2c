//! Decodes a frame, detects its flukes, and adds it to the encounters of its camera.

use super::camera::PipelineCamera;
use crate::detect::{Detect, DetectError, DownscaledFrame};
use crate::encounter::{Encounter, FlukeBoxes, ObservedFrame};
use crate::frame::{FrameImage, RawImage};
use crate::gate::Gate;
use crate::pixels::{DecodedFrame, DecodedImage, Decoder};
use crate::preview::Preview;
use crate::time::MonotonicTimestamp;
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use std::sync::Arc;

/// A frame to analyse.
pub(super) struct AnalyserInput {
    /// Index of the camera.
    pub(super) camera: usize,
    pub(super) image: FrameImage,
    /// The flukes, where the source knows them.
    pub(super) boxes: Option<Vec<PixelBox>>,
    pub(super) taken: MonotonicTimestamp,
}

/// The result of a frame.
#[derive(Default)]
pub(super) struct Analysis {
    /// The encounters that end with it.
    pub(super) ended: Vec<Encounter>,
    /// Why the frame is invalid, if it is.
    pub(super) invalid: Option<String>,
}

impl Analysis {
    fn invalid(reason: impl ToString) -> Self {
        Self {
            ended: vec![],
            invalid: Some(reason.to_string()),
        }
    }
}

/// Analyses the frames of all cameras.
pub(super) struct Analyser {
    decoder: Decoder,
    /// Searches frames without boxes; without a detector the whole frame counts as a fluke.
    pub(super) detector: Option<Box<dyn Detect>>,
    detections: Vec<Detection>,
    downscaled: DownscaledFrame,
    pub(super) preview: Arc<Preview>,
}

impl Analyser {
    /// With `grey`, only luma is decoded.
    pub(super) fn new(grey: bool) -> Self {
        Self {
            decoder: Decoder::new(grey),
            detector: None,
            detections: vec![],
            downscaled: DownscaledFrame::default(),
            preview: Arc::default(),
        }
    }

    /// Analyses a frame of `camera`.
    pub(super) fn analyse(
        &mut self,
        camera: &mut PipelineCamera,
        input: AnalyserInput,
    ) -> Analysis {
        let AnalyserInput {
            camera: index,
            image,
            boxes,
            taken,
        } = input;
        if boxes.as_ref().is_some_and(Vec::is_empty) {
            // Open sea: only a preview needs its pixels.
            let flukes = FlukeBoxes::Given(&[]);
            let observed = camera
                .encounters
                .observe(flukes, FrameSize::default(), taken);
            let ended = observed.complete();
            self.preview_sea(index, image);
            return Analysis {
                ended,
                invalid: None,
            };
        }
        let frame = match self.decoder.decode(image) {
            Ok(frame) => frame,
            Err(e) => return Analysis::invalid(e),
        };
        let observed = self.observe(camera, &frame, boxes.as_deref(), taken);
        self.publish_preview(index, &frame, boxes.as_deref());
        match observed {
            Ok(mut observed) => {
                let kept = self.keep_crops(&mut observed, &frame);
                Analysis {
                    ended: observed.complete(),
                    invalid: kept.err(),
                }
            }
            Err(reason) => Analysis::invalid(reason),
        }
    }

    /// Detects flukes in `frame` and adds them to the encounters of `camera`.
    fn observe<'c>(
        &mut self,
        camera: &'c mut PipelineCamera,
        frame: &DecodedFrame,
        boxes: Option<&[PixelBox]>,
        taken: MonotonicTimestamp,
    ) -> Result<ObservedFrame<'c>, String> {
        let image = &frame.image;
        let pixels = image.pixels();
        let (width, height) = (pixels.width(), pixels.height());
        let PipelineCamera {
            encounters, gate, ..
        } = camera;
        let flukes = match (boxes, &self.detector) {
            (Some(boxes), _) => {
                if boxes.iter().all(|b| b.within(width, height).is_none()) {
                    return Err("all boxes lie outside of the frame".into());
                }
                FlukeBoxes::Given(boxes)
            }
            (None, Some(_)) => {
                self.detect(image, taken, gate.as_mut())
                    .map_err(|e| e.to_string())?;
                FlukeBoxes::Detected(&self.detections)
            }
            (None, None) => FlukeBoxes::WholeFrame,
        };
        // Before the tracks take its boxes, so that a damaged frame neither starts nor continues an
        // encounter. Frames of open sea, nearly all, are not checked.
        if flukes.is_some() {
            frame.check().map_err(|e| e.to_string())?;
        }
        Ok(encounters.observe(flukes, FrameSize { width, height }, taken))
    }

    /// Detects flukes in a frame that `gate` lets through, in the frame's pixels.
    fn detect(
        &mut self,
        image: &DecodedImage,
        taken: MonotonicTimestamp,
        mut gate: Option<&mut Gate>,
    ) -> Result<(), DetectError> {
        let Self {
            detector,
            detections,
            downscaled,
            ..
        } = self;
        let Some(detector) = detector else {
            return Ok(());
        };
        let frame = downscaled.downscale(image);
        let at = taken.since(MonotonicTimestamp::default());
        if let Some(gate) = &mut gate
            && !gate.check(frame, at).opens()
        {
            detections.clear();
            return Ok(());
        }
        detector.detect(frame, detections)?;
        if let Some(gate) = gate
            && !detections.is_empty()
        {
            gate.hold(at);
        }
        downscaled.upscale_detections(detections);
        Ok(())
    }

    /// Keeps the crops of the frame that are worth it, in colour where the source has it.
    fn keep_crops(
        &mut self,
        observed: &mut ObservedFrame<'_>,
        frame: &DecodedFrame,
    ) -> Result<(), String> {
        if !observed.wants_pixels() {
            return Ok(());
        }
        match frame.colour_source() {
            None => observed.keep_crops(frame.image.pixels()),
            Some(raw) => {
                let colour = self.decode_colour(raw)?;
                observed.keep_crops(colour.pixels());
            }
        }
        Ok(())
    }

    fn decode_colour(&mut self, raw: &RawImage) -> Result<DecodedImage, String> {
        self.decoder.decode_colour(raw).map_err(|e| e.to_string())
    }

    /// Publishes a frame with its flukes where a viewer requested it, in colour where the source has it.
    fn publish_preview(&mut self, camera: usize, frame: &DecodedFrame, boxes: Option<&[PixelBox]>) {
        if !self.preview.is_requested(camera) {
            return;
        }
        let regions = match boxes {
            Some(boxes) => boxes.to_vec(),
            None => self.detections.iter().map(|d| d.region).collect(),
        };
        let raw = frame.colour_source();
        let colour = raw.and_then(|raw| self.decode_colour(raw).ok());
        let image = colour.as_ref().unwrap_or(&frame.image);
        self.preview.publish(camera, image.pixels(), &regions);
    }

    /// The same for a frame of open sea, which is not decoded otherwise.
    fn preview_sea(&mut self, camera: usize, image: FrameImage) {
        if self.preview.is_requested(camera)
            && let Ok(frame) = self.decoder.decode(image)
        {
            self.publish_preview(camera, &frame, Some(&[]));
        }
    }
}
