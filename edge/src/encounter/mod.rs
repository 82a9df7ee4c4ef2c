//! Encounters: the frames in a row that show a fluke, of which the best few crops are kept.
//!
//! One whale at a time: of several flukes in one frame the largest counts. Memory is bounded by the number of crops kept.

use crate::quality::quality;
use crate::time::Moment;
use flukewatch_common::pixel_box::PixelBox;
use image::{RgbImage, imageops};

/// A fluke cut out of its frame, with some sea around it.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The pixels: the box and a margin.
    pub pixels: RgbImage,
    /// The box in [`Crop::pixels`].
    pub region: PixelBox,
    /// The box in the frame.
    pub frame_region: PixelBox,
    /// [`quality`] of the box.
    pub quality: f64,
}

/// One encounter that is over.
#[derive(Clone, Debug)]
pub struct Encounter {
    /// When the first frame with the fluke was taken.
    pub started: Moment,
    /// When the last one was.
    pub ended: Moment,
    /// Frames with the fluke.
    pub frames: u32,
    /// The best crops, best first; at least one.
    pub crops: Vec<Crop>,
}

/// Which frames belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Those of a film: an encounter ends after a gap without a fluke, or when it gets too long.
    Film {
        /// The gap, in milliseconds.
        gap: i64,
        /// The longest encounter, in milliseconds.
        longest: i64,
    },
    /// Each frame is an encounter of its own.
    Stills,
}

/// Groups frames into encounters.
#[derive(Debug)]
pub struct Encounters {
    grouping: Grouping,
    best_crops: usize,
    margin: f32,
    open: Option<Encounter>,
}

impl Encounters {
    /// Keeps `best_crops` (at least one) of each encounter, cut with `margin`, a share of the box's sides, around the box.
    pub fn new(grouping: Grouping, best_crops: usize, margin: f32) -> Self {
        Self {
            grouping,
            best_crops: best_crops.max(1),
            margin,
            open: None,
        }
    }

    /// Time has come to `now`: the encounter that this ends, if it does. A source whose moments jump, forwards or backwards, ends one too.
    pub fn pass(&mut self, now: Moment) -> Option<Encounter> {
        let Grouping::Film { gap, .. } = self.grouping else {
            return None;
        };
        self.open
            .take_if(|e| now.millis_since(e.ended).saturating_abs() >= gap)
    }

    /// A fluke in `region` of the frame `photo`, taken at `taken`; returns the encounter that this frame completes, if it does.
    /// Call [`Encounters::pass`] first. A region that touches no pixel of the photo is no fluke.
    pub fn see(&mut self, photo: &RgbImage, region: PixelBox, taken: Moment) -> Option<Encounter> {
        let region = region.within(photo.width(), photo.height())?;
        let encounter = self.open.get_or_insert_with(|| Encounter {
            started: taken,
            ended: taken,
            frames: 0,
            crops: vec![],
        });
        encounter.ended = taken;
        encounter.frames = encounter.frames.saturating_add(1);

        let fluke =
            imageops::crop_imm(photo, region.x0, region.y0, region.width(), region.height())
                .to_image();
        let quality = quality(&fluke);
        let at = encounter.crops.partition_point(|c| c.quality >= quality);
        if at < self.best_crops {
            encounter
                .crops
                .insert(at, cut(photo, region, self.margin, quality));
            encounter.crops.truncate(self.best_crops);
        }
        match self.grouping {
            Grouping::Stills => self.open.take(),
            Grouping::Film { longest, .. } => self
                .open
                .take_if(|e| e.ended.millis_since(e.started) >= longest),
        }
    }

    /// There are no more frames: the encounter that was going on, if one was.
    pub fn finish(&mut self) -> Option<Encounter> {
        self.open.take()
    }
}

/// The largest of a frame's boxes.
pub fn largest(boxes: &[PixelBox]) -> Option<PixelBox> {
    boxes.iter().copied().max_by_key(PixelBox::area)
}

fn cut(photo: &RgbImage, region: PixelBox, margin: f32, quality: f64) -> Crop {
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
    let pixels = imageops::crop_imm(photo, x0, y0, x1 - x0, y1 - y0).to_image();
    Crop {
        pixels,
        region: inside,
        frame_region: region,
        quality,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::prepare::{Colour, Fit, Preparation};

    const FILM: Grouping = Grouping::Film {
        gap: 1000,
        longest: 5000,
    };
    const BOX: PixelBox = PixelBox {
        x0: 10,
        y0: 10,
        x1: 50,
        y1: 30,
    };

    fn photo(contrast: u8) -> RgbImage {
        RgbImage::from_fn(80, 60, |x, y| {
            image::Rgb(
                [if (x / 3 + y / 3) % 2 == 0 {
                    0
                } else {
                    contrast
                }; 3],
            )
        })
    }

    /// Plays frames 100 ms apart: `Some(contrast)` shows a fluke, `None` open sea.
    fn play(encounters: &mut Encounters, frames: &[Option<u8>]) -> Vec<Encounter> {
        let mut over = vec![];
        for (i, frame) in frames.iter().enumerate() {
            let now = Moment::from_millis(i as i64 * 100);
            over.extend(encounters.pass(now));
            if let Some(contrast) = frame {
                over.extend(encounters.see(&photo(*contrast), BOX, now));
            }
        }
        over.extend(encounters.finish());
        over
    }

    fn spans(encounters: &[Encounter]) -> Vec<(i64, i64, u32)> {
        encounters
            .iter()
            .map(|e| (e.started.0 / 1000, e.ended.0 / 1000, e.frames))
            .collect()
    }

    #[test]
    fn a_gap_ends_an_encounter_and_a_flicker_does_not() {
        let mut frames = vec![None; 5];
        frames.extend([Some(90); 4]);
        frames.extend([None; 8]);
        frames.extend([Some(90); 2]);
        frames.extend([None; 10]);
        frames.extend([Some(90); 3]);
        let over = play(&mut Encounters::new(FILM, 3, 0.1), &frames);
        assert_eq!(spans(&over), [(500, 1800, 6), (2900, 3100, 3)]);
    }

    #[test]
    fn a_long_encounter_is_reported_in_parts() {
        let over = play(&mut Encounters::new(FILM, 3, 0.1), &[Some(90); 60]);
        assert_eq!(spans(&over), [(0, 5000, 51), (5100, 5900, 9)]);
    }

    #[test]
    fn a_moment_far_back_ends_an_encounter() {
        let mut encounters = Encounters::new(FILM, 3, 0.1);
        assert!(
            encounters
                .see(&photo(90), BOX, Moment::from_millis(1_000_000))
                .is_none()
        );
        assert!(encounters.pass(Moment::from_millis(999_500)).is_none());
        assert!(encounters.pass(Moment(0)).is_some());
    }

    #[test]
    fn each_still_is_an_encounter() {
        let over = play(
            &mut Encounters::new(Grouping::Stills, 3, 0.1),
            &[Some(90), None, Some(90)],
        );
        assert_eq!(spans(&over), [(0, 0, 1), (200, 200, 1)]);
    }

    #[test]
    fn only_the_best_crops_are_kept_best_first() {
        let contrasts = [40, 200, 90, 10, 250, 120];
        let over = play(&mut Encounters::new(FILM, 3, 0.1), &contrasts.map(Some));
        let kept: Vec<f64> = over[0].crops.iter().map(|c| c.quality).collect();
        let mut all: Vec<f64> = contrasts
            .iter()
            .map(|&c| quality(&imageops::crop_imm(&photo(c), 10, 10, 40, 20).to_image()))
            .collect();
        all.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(kept, all[..3]);
    }

    #[test]
    fn a_box_outside_the_frame_is_no_fluke() {
        let mut encounters = Encounters::new(Grouping::Stills, 3, 0.1);
        let outside = PixelBox {
            x0: 100,
            y0: 0,
            x1: 120,
            y1: 10,
        };
        assert!(encounters.see(&photo(90), outside, Moment(0)).is_none());
        assert!(encounters.finish().is_none());
    }

    #[test]
    fn a_crop_prepares_as_its_frame_does() {
        let photo = RgbImage::from_fn(83, 61, |x, y| {
            image::Rgb([(x * 3) as u8, (y * 4) as u8, (x * y) as u8])
        });
        for (margin, fit) in [
            (0.0, Fit::Stretch),
            (0.07, Fit::Letterbox),
            (0.33, Fit::Stretch),
        ] {
            let (mean, deviation) = (vec![0.0; 3], vec![1.0; 3]);
            let p = Preparation {
                height: 16,
                width: 32,
                colour: Colour::Rgb,
                fit,
                margin,
                mean,
                deviation,
            };
            for region in [
                BOX,
                PixelBox {
                    x0: 0,
                    y0: 40,
                    x1: 30,
                    y1: 61,
                },
                PixelBox {
                    x0: 60,
                    y0: 3,
                    x1: 83,
                    y1: 20,
                },
            ] {
                let crop = cut(&photo, region, margin, 0.0);
                assert_eq!(
                    p.pixels(&photo, region).unwrap(),
                    p.pixels(&crop.pixels, crop.region).unwrap()
                );
            }
        }
    }

    #[test]
    fn of_several_flukes_the_largest_counts() {
        assert_eq!(
            largest(&[PixelBox::whole(3, 3), BOX, PixelBox::whole(9, 9)]),
            Some(BOX)
        );
        assert_eq!(largest(&[]), None);
    }
}
