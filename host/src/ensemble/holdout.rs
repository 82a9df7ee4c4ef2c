//! What is kept from a first training: photos to watch it with, and whales that play the new ones.

use super::classifier::{place_of_new, precision};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The share of whales that play new ones.
const NEW_WHALES: f64 = 0.1;
/// The share of the other whales of which one photo is kept back.
const WATCHED: f64 = 0.5;
/// Photos a whale must have for one to be kept back.
const SPARED: usize = 3;

/// Positions of photos, each in one of three parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdout {
    /// To train on.
    pub train: Vec<usize>,
    /// Of whales that are trained on.
    pub watched: Vec<usize>,
    /// Of whales that are not.
    pub new: Vec<usize>,
}

impl Holdout {
    /// Deals out the photos of each whale.
    pub fn of(photos_of: &[Vec<usize>], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parts = Self::default();
        for photos in photos_of {
            let (plays_new, is_watched) = (
                rng.random_bool(NEW_WHALES),
                rng.random_bool(WATCHED) && photos.len() >= SPARED,
            );
            if plays_new {
                parts.new.extend(photos);
                continue;
            }
            let kept = is_watched.then(|| photos[rng.random_range(0..photos.len())]);
            parts.watched.extend(kept);
            let others = photos.iter().filter(|&&p| Some(p) != kept);
            parts.train.extend(others);
        }
        parts
    }
}

/// A photo that was looked up: the best whales with their probabilities, and the right one; `None` for a new whale.
pub struct Looked {
    /// Best first.
    pub best: Vec<(usize, f32)>,
    /// The right whale.
    pub truth: Option<usize>,
}

/// The threshold below which a new whale is guessed first that gives the highest MAP@5, and that figure, where the share
/// `new_share` of the photos to come shows new whales. `None` where known or new whales are missing.
pub fn threshold(looked: &[Looked], new_share: f64) -> Option<(f32, f64)> {
    let new = looked.iter().filter(|l| l.truth.is_none()).count();
    let known = looked.len() - new;
    if new == 0 || known == 0 {
        return None;
    }
    let map = |at: f32| -> f64 {
        looked
            .iter()
            .map(|l| {
                let new_at = place_of_new(&l.best, at);
                match l.truth {
                    None => precision(Some(new_at)) * new_share / new as f64,
                    Some(whale) => {
                        let rank = l.best.iter().position(|b| b.0 == whale);
                        let rank = rank.map(|rank| rank + usize::from(rank >= new_at));
                        precision(rank) * (1.0 - new_share) / known as f64
                    }
                }
            })
            .sum()
    };
    // Between the best probabilities of two photos nothing changes at the first place; 200 of them are enough.
    let mut steps: Vec<f32> = looked
        .iter()
        .filter_map(|l| Some(l.best.first()?.1))
        .collect();
    steps.sort_by(f32::total_cmp);
    let stride = steps.len().div_ceil(200).max(1);
    std::iter::once(0.0)
        .chain(steps.into_iter().step_by(stride))
        .map(|at| (at, map(at)))
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_photo_is_in_one_part_and_new_whales_in_no_other() {
        let photos_of: Vec<Vec<usize>> = (0..200).map(|w| (w * 4..w * 4 + 4).collect()).collect();
        let parts = Holdout::of(&photos_of, 3);
        let mut all = [&parts.train[..], &parts.watched, &parts.new].concat();
        all.sort_unstable();
        assert_eq!(all, (0..800).collect::<Vec<_>>());
        assert!(parts.new.iter().all(|p| parts.new.contains(&(p - p % 4))));
        assert!(!parts.new.is_empty() && !parts.watched.is_empty());
        assert_eq!(parts, Holdout::of(&photos_of, 3));
        assert_ne!(parts, Holdout::of(&photos_of, 4));
        let few = Holdout::of(&[vec![0, 1], vec![2]], 3);
        assert!(few.watched.is_empty());
    }

    #[test]
    fn the_threshold_parts_known_from_new() {
        let looked = |p: f32, truth| Looked {
            best: vec![(7, p), (8, 0.05)],
            truth,
        };
        let mut all: Vec<Looked> = (0..10)
            .map(|i| looked(0.6 + 0.03 * i as f32, Some(7)))
            .collect();
        all.extend((0..10).map(|i| looked(0.2 + 0.03 * i as f32, None)));
        let (at, map) = threshold(&all, 0.3).unwrap();
        assert!(
            (0.47..=0.6).contains(&at) && (map - 1.0).abs() < 1e-9,
            "{at} {map}"
        );
        // At 0 a new whale comes third, after both.
        all.truncate(11);
        all[10].best[0].1 = 0.95;
        let (at, map) = threshold(&all, 0.3).unwrap();
        assert!(
            at <= 0.6 && (map - (0.7 + 0.3 / 2.0)).abs() < 1e-9,
            "{at} {map}"
        );
        assert_eq!(threshold(&all[..10], 0.3), None);
    }
}
