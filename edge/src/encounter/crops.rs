//! The best crops of an encounter, in bounded memory and spread over time.

use crate::quality::Quality;
use crate::time::Moment;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// Crops nearer to each other in time than this, in milliseconds, show much the same: the nearer they are the less the second one counts.
const SPREAD: f32 = 300.0;

/// A fluke cut out of its frame, with some sea around it.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The pixels: the box and a margin.
    pub pixels: RgbImage,
    /// The box in [`Crop::pixels`].
    pub region: PixelBox,
    /// The box in the frame.
    pub frame_region: PixelBox,
    /// How much it can tell.
    pub quality: Quality,
    /// When its frame was taken.
    pub taken: Moment,
}

/// A store of the best few crops.
#[derive(Debug)]
pub(super) struct BestCrops {
    crops: Vec<Crop>,
    most: usize,
}

impl BestCrops {
    /// Keeps `most` crops, at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            crops: Vec::with_capacity(most + 1),
            most,
        }
    }

    /// Whether a crop taken at `taken` would be kept if its quality were `total`.
    pub(super) fn wants(&self, taken: Moment, total: f32) -> bool {
        if self.crops.len() < self.most {
            return true;
        }
        let moments = || self.crops.iter().map(|c| (c.taken, c.quality.total()));
        let all = || moments().chain([(taken, total)]);
        least(all) != Some(self.crops.len())
    }

    /// Keeps `crop` if it is worth it, in the place of the one that is worth least; returns the memory of what is not kept.
    pub(super) fn offer(&mut self, crop: Crop) -> Option<Vec<u8>> {
        self.crops.push(crop);
        if self.crops.len() <= self.most {
            return None;
        }
        let all = || self.crops.iter().map(|c| (c.taken, c.quality.total()));
        let out = least(all)?;
        Some(self.crops.swap_remove(out).pixels.into_raw())
    }

    /// The crops, best first.
    pub(super) fn into_best_first(mut self) -> Vec<Crop> {
        self.crops
            .sort_by(|a, b| b.quality.total().total_cmp(&a.quality.total()));
        self.crops
    }
}

/// Which of some crops is worth least: its quality, less where a better one was taken at about the same time. Never the best of all.
fn least<I: Iterator<Item = (Moment, f32)>>(all: impl Fn() -> I) -> Option<usize> {
    let worth = |number: usize, (taken, total): (Moment, f32)| {
        let better = all()
            .enumerate()
            .filter(|(other, (_, theirs))| *theirs > total || *theirs == total && *other < number);
        let nearest = better.map(|(_, (theirs, _))| taken.apart(theirs).as_secs_f32() * 1000.0);
        let nearest = nearest.fold(f32::INFINITY, f32::min);
        total * (nearest / SPREAD).min(1.0)
    };
    let best = all().enumerate().max_by(|a, b| {
        let by_total = a.1.1.total_cmp(&b.1.1);
        by_total.then(b.0.cmp(&a.0))
    })?;
    all()
        .enumerate()
        .filter(|(number, _)| *number != best.0)
        .map(|(number, crop)| (number, worth(number, crop)))
        .min_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(millis: i64, sharpness: f32) -> Crop {
        Crop {
            pixels: RgbImage::new(2, 2),
            region: PixelBox::whole(2, 2),
            frame_region: PixelBox::whole(2, 2),
            quality: Quality {
                sharpness,
                size: 1.0,
                angle: 1.0,
                exposure: 1.0,
            },
            taken: Moment::from_millis(millis),
        }
    }

    /// What is kept of crops at these moments with these qualities: moments, best first.
    fn kept(most: usize, crops: &[(i64, f32)]) -> Vec<i64> {
        let mut best = BestCrops::new(most);
        for &(millis, quality) in crops {
            let wanted = best.wants(Moment::from_millis(millis), quality);
            let before = best.crops.len();
            let memory = best.offer(crop(millis, quality));
            let there = best
                .crops
                .iter()
                .any(|c| c.taken == Moment::from_millis(millis));
            assert_eq!(wanted, there, "it says what it does");
            assert_eq!(memory.is_some(), before == most);
        }
        let all = best.into_best_first();
        all.iter().map(|c| c.taken.0 / 1000).collect()
    }

    #[test]
    fn the_best_are_kept_best_first() {
        let far = [
            (0, 0.2),
            (1000, 0.9),
            (2000, 0.4),
            (3000, 0.1),
            (4000, 0.95),
            (5000, 0.5),
        ];
        assert_eq!(kept(3, &far), [4000, 1000, 5000]);
        assert_eq!(kept(1, &far), [4000]);
    }

    #[test]
    fn neighbours_of_the_best_give_way_to_other_moments() {
        let mut crops = vec![(0, 0.5)];
        // Five of one instant, all better than what comes a second later.
        crops.extend((0..5).map(|i| (1000 + i * 33, 0.8 + i as f32 * 0.01)));
        crops.extend([(2000, 0.6), (3000, 0.55)]);
        assert_eq!(kept(4, &crops), [1132, 2000, 3000, 0]);
    }

    #[test]
    fn where_there_is_nothing_else_neighbours_are_kept() {
        assert_eq!(kept(5, &[(0, 0.5), (33, 0.7), (66, 0.6)]), [33, 66, 0]);
    }

    #[test]
    fn crops_that_are_worth_nothing_do_not_confuse_it() {
        assert_eq!(kept(2, &[(0, 0.0), (400, 0.0), (800, 0.0)]).len(), 2);
        assert_eq!(kept(2, &[(0, f32::NAN), (5, 0.3), (9, 0.4)]).len(), 2);
    }
}
