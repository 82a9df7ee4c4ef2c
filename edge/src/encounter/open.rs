//! An encounter that is going on.

use super::crops::{BestCrops, Crop};
use super::places::{Places, after};
use super::{Encounter, JUDGED_EVERY, promise};
use crate::pixels::Pixels;
use crate::quality::Assessor;
use crate::time::Moment;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// What is kept of a fluke that is followed.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) track: u64,
    /// Whether it is a fluke for sure.
    pub(super) confirmed: bool,
    pub(super) detector: Option<f32>,
    frame: FrameSize,
    started: Moment,
    ended: Moment,
    frames: u32,
    region: PixelBox,
    places: Places,
    crops: BestCrops,
    /// When its crop was last judged.
    judged: Option<Moment>,
    /// The sharpness of the sharpest crop so far.
    sharpest: Option<f32>,
}

impl Open {
    /// The fluke of `track` is first seen in `region`.
    pub(super) fn new(
        track: u64,
        region: PixelBox,
        frame: FrameSize,
        taken: Moment,
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
            places: Places::new(taken, region),
            crops: BestCrops::new(best_crops),
            judged: None,
            sharpest: None,
        }
    }

    /// It is seen again.
    pub(super) fn see(&mut self, region: PixelBox, frame: FrameSize, taken: Moment) {
        // A folder's pictures may differ in size; all places must lie within what is reported.
        self.frame.width = self.frame.width.max(frame.width);
        self.frame.height = self.frame.height.max(frame.height);
        self.ended = taken;
        self.frames = self.frames.saturating_add(1);
        self.region = region;
        self.places.add(taken, region);
    }

    /// How long it has been seen, in milliseconds.
    pub(super) fn lasted(&self) -> i64 {
        self.ended.millis_since(self.started)
    }

    /// Whether it is in the frame taken at `now` and its crop may be worth keeping, for a model that looks at pictures of `side`.
    pub(super) fn wants(&self, now: Moment, side: f32) -> bool {
        let rested = self
            .judged
            .is_none_or(|at| now.micros_since(at) >= JUDGED_EVERY);
        let sharpest = self.sharpest.unwrap_or(1.0);
        self.ended == now && rested && self.crops.wants(now, promise(self.region, side, sharpest))
    }

    /// Judges its crop of the frame that it was last seen in, whose pixels are `photo`.
    pub(super) fn judge(
        &mut self,
        photo: Pixels<'_>,
        assessor: &mut Assessor,
        margin: f32,
        spare: &mut Option<Vec<u8>>,
    ) {
        let Some(region) = self.region.within(photo.width(), photo.height()) else {
            return;
        };
        self.judged = Some(self.ended);
        let quality = assessor.assess(photo, region);
        let sharpest = self.sharpest.unwrap_or(0.0);
        self.sharpest = Some(sharpest.max(quality.sharpness));
        if self.crops.wants(self.ended, quality.total()) {
            let memory = spare.take().unwrap_or_default();
            let (pixels, inside) = cut(photo, region, margin, memory);
            *spare = self.crops.offer(Crop {
                pixels,
                region: inside,
                frame_region: region,
                quality,
                taken: self.ended,
            });
        }
    }

    /// It is over.
    pub(super) fn close(self) -> Encounter {
        Encounter {
            track: self.track,
            started: self.started,
            ended: self.ended,
            frames: self.frames,
            crops: self.crops.into_best_first(),
            places: self.places.into_all(),
            frame: self.frame,
            detector: self.detector,
        }
    }
}

impl Encounter {
    /// When `crop` was taken, in milliseconds after the begin.
    pub fn after(&self, crop: &Crop) -> u32 {
        after(crop.taken, self.started)
    }
}

/// The pixels of `region` and a margin, in `memory`, and where the region lies in them.
pub(super) fn cut(
    photo: Pixels<'_>,
    region: PixelBox,
    margin: f32,
    memory: Vec<u8>,
) -> (RgbImage, PixelBox) {
    // Rounded up, so that a preparation which widens the box by this margin still finds every pixel that it would find in the
    // whole frame.
    let side = |length: u32| (length as f32 * margin).ceil() as u32 + 1;
    let (dx, dy) = (side(region.width()), side(region.height()));
    let (x0, y0) = (region.x0.saturating_sub(dx), region.y0.saturating_sub(dy));
    let x1 = region.x1.saturating_add(dx).min(photo.width());
    let y1 = region.y1.saturating_add(dy).min(photo.height());
    let inside = PixelBox {
        x0: region.x0 - x0,
        y0: region.y0 - y0,
        x1: region.x1 - x0,
        y1: region.y1 - y0,
    };
    let around = PixelBox { x0, y0, x1, y1 };
    (photo.cut(around, memory), inside)
}
