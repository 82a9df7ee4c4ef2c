//! Decodes a frame, detects its flukes, and adds it to the encounters of its camera.

use super::camera::PerceptionCamera;
use crate::capture::CameraState;
use crate::detect::{Detect, DetectError, DownscaledFrame};
use crate::detection_filter::DetectionFilter;
use crate::encounter::{Encounter, FlukeBoxes, ObservedFrame};
use crate::frame::{FrameImage, RawImage};
use crate::gate::Gate;
use crate::picture::PictureMonitor;
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
    grey: bool,
    decoder: Decoder,
    /// Searches frames without boxes; without a detector the whole frame counts as a fluke.
    detector: Option<Box<dyn Detect>>,
    detections: Vec<Detection>,
    downscaled: DownscaledFrame,
    preview: Arc<Preview>,
}

impl Analyser {
    /// With `grey`, only luma is decoded.
    pub(super) fn new(
        grey: bool,
        detector: Option<Box<dyn Detect>>,
        preview: Arc<Preview>,
    ) -> Self {
        Self {
            grey,
            decoder: Decoder::new(grey),
            detector,
            detections: vec![],
            downscaled: DownscaledFrame::default(),
            preview,
        }
    }

    /// Forgets everything about earlier frames.
    pub(super) fn reset(&mut self) {
        self.decoder = Decoder::new(self.grey);
        self.detections.clear();
        self.downscaled = DownscaledFrame::default();
    }

    /// Analyses a frame of `camera`.
    pub(super) fn analyse(
        &mut self,
        camera: &mut PerceptionCamera,
        input: AnalyserInput,
    ) -> Analysis {
        let AnalyserInput {
            camera: index,
            image,
            boxes,
            taken,
        } = input;
        let filter = camera.filter.clone();
        if boxes.as_ref().is_some_and(Vec::is_empty) {
            // Open sea: only a preview needs its pixels.
            let flukes = FlukeBoxes::Given(&[]);
            let observed = camera
                .encounters
                .observe(flukes, FrameSize::default(), taken);
            let ended = observed.complete();
            self.preview_sea(index, image, &filter);
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
        self.publish_preview(index, &frame, boxes.as_deref(), &filter);
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
        camera: &'c mut PerceptionCamera,
        frame: &DecodedFrame,
        boxes: Option<&[PixelBox]>,
        taken: MonotonicTimestamp,
    ) -> Result<ObservedFrame<'c>, String> {
        let image = &frame.image;
        let pixels = image.pixels();
        let (width, height) = (pixels.width(), pixels.height());
        let PerceptionCamera {
            encounters,
            gate,
            filter,
            picture,
            state,
            ..
        } = camera;
        let flukes = match (boxes, &self.detector) {
            (Some(boxes), _) => {
                if boxes.iter().all(|b| b.within(width, height).is_none()) {
                    return Err("all boxes lie outside of the frame".into());
                }
                FlukeBoxes::Given(boxes)
            }
            (None, Some(_)) => {
                self.detect(
                    image,
                    taken,
                    gate.as_mut(),
                    filter,
                    picture.as_mut().zip(Some(&**state)),
                )
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

    /// Detects flukes in a frame that `gate` lets through, in the frame's pixels; those that `filter`
    /// does not pass are dropped. `picture` watches the frames.
    fn detect(
        &mut self,
        image: &DecodedImage,
        taken: MonotonicTimestamp,
        mut gate: Option<&mut Gate>,
        filter: &DetectionFilter,
        picture: Option<(&mut PictureMonitor, &CameraState)>,
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
        if let Some((monitor, state)) = picture
            && let Some(found) = monitor.observe(frame, taken)
        {
            state.set_picture(found);
        }
        let at = taken.since(MonotonicTimestamp::default());
        if let Some(gate) = &mut gate
            && !gate.check(frame, at).opens()
        {
            detections.clear();
            return Ok(());
        }
        detector.detect(frame, detections)?;
        downscaled.upscale_detections(detections);
        let pixels = image.pixels();
        let (width, height) = (pixels.width(), pixels.height());
        // Before the gate is held open, so that burnt-in text does not keep the detector running.
        filter.apply(detections, FrameSize { width, height });
        if let Some(gate) = gate
            && !detections.is_empty()
        {
            gate.hold(at);
        }
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
    fn publish_preview(
        &mut self,
        camera: usize,
        frame: &DecodedFrame,
        boxes: Option<&[PixelBox]>,
        filter: &DetectionFilter,
    ) {
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
        self.preview
            .publish(camera, image.pixels(), &regions, &filter.ignored);
    }

    /// The same for a frame of open sea, which is not decoded otherwise.
    fn preview_sea(&mut self, camera: usize, image: FrameImage, filter: &DetectionFilter) {
        if self.preview.is_requested(camera)
            && let Ok(frame) = self.decoder.decode(image)
        {
            self.publish_preview(camera, &frame, Some(&[]), filter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encounter::{Encounters, Grouping};
    use image::RgbImage;

    /// Detects a fluke of 40 x 20 pixels in the lower left corner of a 400 x 200 frame, and one of
    /// 20 x 20 in its middle.
    struct TwoFlukes;

    impl Detect for TwoFlukes {
        fn detect(
            &mut self,
            _frame: &RgbImage,
            detections: &mut Vec<Detection>,
        ) -> Result<(), DetectError> {
            detections.clear();
            for [x0, y0, x1, y1] in [[0, 170, 40, 190], [190, 90, 210, 110]] {
                detections.push(Detection {
                    region: PixelBox { x0, y0, x1, y1 },
                    score: 0.99,
                });
            }
            Ok(())
        }
    }

    /// The left edges of the detections in a frame of a camera, and the number of its encounters.
    fn analysed(filter: DetectionFilter) -> (Vec<u32>, usize) {
        let grouping = Grouping::Video {
            gap: 1000,
            longest: 60_000,
        };
        let encounters = Encounters::new(grouping, 3, 0.1).for_model(8, 16);
        let mut camera = PerceptionCamera::new(encounters, true).with_filter(filter);
        let detector = Some(Box::new(TwoFlukes) as Box<dyn Detect>);
        let mut analyser = Analyser::new(false, detector, Arc::default());
        for frame in 0..10 {
            let input = AnalyserInput {
                camera: 0,
                image: FrameImage::Pixels(RgbImage::new(400, 200)),
                boxes: None,
                taken: MonotonicTimestamp::from_millis(frame * 100),
            };
            assert_eq!(analyser.analyse(&mut camera, input).invalid, None);
        }
        let found = analyser.detections.iter().map(|d| d.region.x0).collect();
        (found, camera.encounters.finish().len())
    }

    #[test]
    fn a_fluke_in_an_ignored_area_starts_no_encounter() {
        assert_eq!(analysed(DetectionFilter::default()), (vec![0, 190], 2));
        let rail = DetectionFilter {
            ignored: serde_json::from_str("[[[0, 0.8], [1, 0.8], [1, 1], [0, 1]]]").unwrap(),
            min_width: 0,
        };
        assert_eq!(analysed(rail), (vec![190], 1));
        let wide = DetectionFilter {
            min_width: 21,
            ..DetectionFilter::default()
        };
        assert_eq!(analysed(wide), (vec![0], 1));
    }
}
