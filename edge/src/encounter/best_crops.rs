//! The best crops of an encounter, in bounded memory and spread over time.

use crate::quality::Quality;
use crate::time::MonotonicTimestamp;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// Crops closer in time than this, in milliseconds, are similar: the closer, the less the second counts.
const SIMILAR_WITHIN: f32 = 300.0;

/// A fluke cut out of its frame, with padding.
#[derive(Clone, Debug)]
pub struct Crop {
    /// The box with padding.
    pub pixels: RgbImage,
    /// The box in [`Crop::pixels`].
    pub region: PixelBox,
    /// The box in the frame.
    pub frame_region: PixelBox,
    /// Its quality for identification.
    pub quality: Quality,
    /// When its frame was taken.
    pub taken: MonotonicTimestamp,
}

/// The best few crops.
#[derive(Debug)]
pub(super) struct BestCrops {
    crops: Vec<Crop>,
    max: usize,
}

impl BestCrops {
    /// Keeps `max` crops, at least one.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            crops: Vec::with_capacity(max + 1),
            max,
        }
    }

    /// Whether a crop taken at `taken` with the quality `total` would be kept.
    pub(super) fn wants(&self, taken: MonotonicTimestamp, total: f32) -> bool {
        if self.crops.len() < self.max {
            return true;
        }
        let kept = || self.crops.iter().map(|c| (c.taken, c.quality.total()));
        let all = || kept().chain([(taken, total)]);
        least_valuable(all) != Some(self.crops.len())
    }

    /// Keeps `crop`, or drops it or the least valuable one; returns the memory of the dropped one.
    pub(super) fn offer(&mut self, crop: Crop) -> Option<Vec<u8>> {
        self.crops.push(crop);
        if self.crops.len() <= self.max {
            return None;
        }
        let all = || self.crops.iter().map(|c| (c.taken, c.quality.total()));
        let out = least_valuable(all)?;
        Some(self.crops.swap_remove(out).pixels.into_raw())
    }

    /// The crops, best first.
    pub(super) fn into_best_first(mut self) -> Vec<Crop> {
        self.crops
            .sort_by(|a, b| b.quality.total().total_cmp(&a.quality.total()));
        self.crops
    }
}

/// The least valuable of some crops: by quality, reduced where a better one was taken at about the same
/// time. Never the best of all.
fn least_valuable<I: Iterator<Item = (MonotonicTimestamp, f32)>>(
    all: impl Fn() -> I,
) -> Option<usize> {
    let value = |number: usize, (taken, total): (MonotonicTimestamp, f32)| {
        let better = all()
            .enumerate()
            .filter(|(other, (_, theirs))| *theirs > total || *theirs == total && *other < number);
        let nearest = better.map(|(_, (theirs, _))| taken.abs_diff(theirs).as_secs_f32() * 1000.0);
        let nearest = nearest.fold(f32::INFINITY, f32::min);
        total * (nearest / SIMILAR_WITHIN).min(1.0)
    };
    let best = all().enumerate().max_by(|a, b| {
        let by_total = a.1.1.total_cmp(&b.1.1);
        by_total.then(b.0.cmp(&a.0))
    })?;
    all()
        .enumerate()
        .filter(|(number, _)| *number != best.0)
        .map(|(number, crop)| (number, value(number, crop)))
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
            taken: MonotonicTimestamp::from_millis(millis),
        }
    }

    /// The times of the kept crops, best first.
    fn kept(max: usize, crops: &[(i64, f32)]) -> Vec<i64> {
        let mut best = BestCrops::new(max);
        for &(millis, quality) in crops {
            let wanted = best.wants(MonotonicTimestamp::from_millis(millis), quality);
            let before = best.crops.len();
            let memory = best.offer(crop(millis, quality));
            let there = best
                .crops
                .iter()
                .any(|c| c.taken == MonotonicTimestamp::from_millis(millis));
            assert_eq!(wanted, there, "wants and offer agree");
            assert_eq!(memory.is_some(), before == max);
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
    fn neighbours_of_the_best_give_way_to_other_times() {
        let mut crops = vec![(0, 0.5)];
        // Five at about the same time, all better than those a second later.
        crops.extend((0..5).map(|i| (1000 + i * 33, 0.8 + i as f32 * 0.01)));
        crops.extend([(2000, 0.6), (3000, 0.55)]);
        assert_eq!(kept(4, &crops), [1132, 2000, 3000, 0]);
    }

    #[test]
    fn without_others_neighbours_are_kept() {
        assert_eq!(kept(5, &[(0, 0.5), (33, 0.7), (66, 0.6)]), [33, 66, 0]);
    }

    #[test]
    fn worthless_crops_are_handled() {
        assert_eq!(kept(2, &[(0, 0.0), (400, 0.0), (800, 0.0)]).len(), 2);
        assert_eq!(kept(2, &[(0, f32::NAN), (5, 0.3), (9, 0.4)]).len(), 2);
    }
}
