//! An encounter in progress.

use super::best_crops::{BestCrops, Crop};
use super::boxes::{Boxes, millis_after};
use crate::pixels::Pixels;
use crate::quality::{Assessor, upper_bound};
use crate::time::MonotonicTimestamp;
use flukewatch_common::footage::{FrameSize, TimedBox};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// The longest side of a kept crop, in pixels: larger ones are downscaled by whole numbers, since no
/// model uses so many pixels and the crops of many flukes must fit in memory.
pub(super) const MAX_CROP_SIDE: u32 = 2048;
/// How often the crops of a fluke are assessed, in microseconds: at a higher frame rate most frames show
/// the same.
const ASSESS_INTERVAL: i64 = 60_000;
/// The assumed sharpness of a crop that is not decoded yet, relative to the sharpest one so far.
const MAX_SHARPNESS_GAIN: f32 = 1.3;

/// An encounter that has ended, or a part of one that got too long.
#[derive(Clone, Debug)]
pub struct Encounter {
    /// The track of the fluke, unique per camera; parts of one encounter share it.
    pub track: u64,
    /// When the first frame with the fluke was taken.
    pub started: MonotonicTimestamp,
    /// When the last one was taken.
    pub ended: MonotonicTimestamp,
    /// The number of frames with the fluke.
    pub frames: u32,
    /// The best crops, best first; empty where no frame could be decoded.
    pub crops: Vec<Crop>,
    /// The boxes of the fluke over time, first and last included.
    pub boxes: Vec<TimedBox>,
    /// The size of the frames.
    pub frame: FrameSize,
    /// The detector's best score; `None` without a detector.
    pub detector: Option<f32>,
}

impl Encounter {
    /// When `crop` was taken, in milliseconds after the start.
    pub fn millis_after_start(&self, crop: &Crop) -> u32 {
        millis_after(crop.taken, self.started)
    }
}

/// What cutting out crops needs.
#[derive(Debug)]
pub(super) struct CropContext {
    /// Padding around the box, a fraction of its sides.
    pub(super) padding: f32,
    pub(super) assessor: Assessor,
    /// The memory of a dropped crop.
    pub(super) spare: Option<Vec<u8>>,
}

/// An encounter in progress.
#[derive(Debug)]
pub(super) struct OpenEncounter {
    pub(super) track: u64,
    /// Whether its track is confirmed.
    pub(super) confirmed: bool,
    pub(super) detector: Option<f32>,
    frame: FrameSize,
    started: MonotonicTimestamp,
    ended: MonotonicTimestamp,
    frames: u32,
    region: PixelBox,
    boxes: Boxes,
    crops: BestCrops,
    /// When its crop was last assessed.
    assessed: Option<MonotonicTimestamp>,
    /// The sharpness of the sharpest crop so far.
    sharpest: Option<f32>,
}

impl OpenEncounter {
    /// The fluke of `track` was first seen in `region`.
    pub(super) fn new(
        track: u64,
        region: PixelBox,
        frame: FrameSize,
        taken: MonotonicTimestamp,
        best_crops: usize,
    ) -> Self {
        Self {
            track,
            confirmed: false,
            detector: None,
            frame,
            started: taken,
            ended: taken,
            frames: 1,
            region,
            boxes: Boxes::new(taken, region),
            crops: BestCrops::new(best_crops),
            assessed: None,
            sharpest: None,
        }
    }

    /// The fluke was seen again.
    pub(super) fn see(&mut self, region: PixelBox, frame: FrameSize, taken: MonotonicTimestamp) {
        // Images of a folder may differ in size; all boxes must lie within the reported one.
        self.frame.width = self.frame.width.max(frame.width);
        self.frame.height = self.frame.height.max(frame.height);
        self.ended = taken;
        self.frames = self.frames.saturating_add(1);
        self.region = region;
        self.boxes.add(taken, region);
    }

    /// Its duration so far, in milliseconds.
    pub(super) fn duration(&self) -> i64 {
        self.ended.millis_since(self.started)
    }

    /// Whether it is in the frame taken at `now` and its crop may be worth keeping, for a model with an
    /// input of this side.
    pub(super) fn wants(&self, now: MonotonicTimestamp, side: f32) -> bool {
        let due = self
            .assessed
            .is_none_or(|at| now.micros_since(at) >= ASSESS_INTERVAL);
        let sharpness = (self.sharpest.unwrap_or(1.0) * MAX_SHARPNESS_GAIN).min(1.0);
        let best_quality = upper_bound(self.region, side) * sharpness;
        self.ended == now && due && self.crops.wants(now, best_quality)
    }

    /// Assesses its crop of the frame that it was last seen in, and keeps it if it is among the best.
    pub(super) fn assess(&mut self, pixels: Pixels<'_>, context: &mut CropContext) {
        let Some(region) = self.region.within(pixels.width(), pixels.height()) else {
            return;
        };
        self.assessed = Some(self.ended);
        let quality = context.assessor.assess(pixels, region);
        let sharpest = self.sharpest.unwrap_or(0.0);
        self.sharpest = Some(sharpest.max(quality.sharpness));
        if self.crops.wants(self.ended, quality.total()) {
            let memory = context.spare.take().unwrap_or_default();
            let (cut_out, inside) = cut_out(pixels, region, context.padding, memory);
            context.spare = self.crops.offer(Crop {
                pixels: cut_out,
                region: inside,
                frame_region: region,
                quality,
                taken: self.ended,
            });
        }
    }

    /// Ends the encounter.
    pub(super) fn close(self) -> Encounter {
        Encounter {
            track: self.track,
            started: self.started,
            ended: self.ended,
            frames: self.frames,
            crops: self.crops.into_best_first(),
            boxes: self.boxes.into_all(),
            frame: self.frame,
            detector: self.detector,
        }
    }
}

/// The pixels of `region` with padding, in `memory`, and the region in them; downscaled where they are
/// too many.
pub(super) fn cut_out(
    frame: Pixels<'_>,
    region: PixelBox,
    padding: f32,
    memory: Vec<u8>,
) -> (RgbImage, PixelBox) {
    // Rounded up, so that a preparation with this padding finds the same pixels as in the frame.
    let side = |length: u32| (length as f32 * padding).ceil() as u32 + 1;
    let (dx, dy) = (side(region.width()), side(region.height()));
    let (x0, y0) = (region.x0.saturating_sub(dx), region.y0.saturating_sub(dy));
    let x1 = region.x1.saturating_add(dx).min(frame.width());
    let y1 = region.y1.saturating_add(dy).min(frame.height());
    let inside = PixelBox {
        x0: region.x0 - x0,
        y0: region.y0 - y0,
        x1: region.x1 - x0,
        y1: region.y1 - y0,
    };
    let around = PixelBox { x0, y0, x1, y1 };
    let pixels = frame.crop(around, memory);
    let step = around.width().max(around.height()).div_ceil(MAX_CROP_SIDE);
    if step <= 1 {
        return (pixels, inside);
    }
    let mut reduced = RgbImage::default();
    Pixels::of(&pixels).downscale(step, &mut reduced);
    let [x0, y0] = [inside.x0 / step, inside.y0 / step];
    let (x1, y1) = (
        (inside.x1 / step).max(x0 + 1),
        (inside.y1 / step).max(y0 + 1),
    );
    (reduced, PixelBox { x0, y0, x1, y1 })
}
