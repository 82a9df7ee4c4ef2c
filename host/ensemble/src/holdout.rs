//! Photos held out from a first training: for validation, and of whales that are treated as new.

use flukewatch_eval::metrics::map_at_5::precision_with_new_whale;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Fraction of whales that are treated as new.
const NEW_WHALES: f64 = 0.1;
/// Fraction of the other whales with a validation photo.
const VALIDATED: f64 = 0.5;
/// Minimum number of photos of a whale with a held-out photo.
const MIN_PHOTOS: usize = 3;

/// Positions of photos, each in one of three parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Holdout {
    /// Photos to train on.
    pub(crate) train: Vec<usize>,
    /// Validation photos of whales that are trained on.
    pub(crate) validation: Vec<usize>,
    /// Photos of whales that are not trained on.
    pub(crate) new: Vec<usize>,
}

impl Holdout {
    /// Splits the photos of each whale.
    pub(crate) fn of(photos_of: &[Vec<usize>], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parts = Self::default();
        for photos in photos_of {
            let (is_new, is_validated) = (
                rng.random_bool(NEW_WHALES),
                rng.random_bool(VALIDATED) && photos.len() >= MIN_PHOTOS,
            );
            if is_new {
                parts.new.extend(photos);
                continue;
            }
            let kept = is_validated.then(|| photos[rng.random_range(0..photos.len())]);
            parts.validation.extend(kept);
            let others = photos.iter().filter(|&&p| Some(p) != kept);
            parts.train.extend(others);
        }
        parts
    }
}

/// The ranking of whales for a photo.
pub(crate) struct Ranked {
    /// Whales with their probabilities, best first.
    pub(crate) best: Vec<(usize, f32)>,
    /// The right whale; `None` for a new one.
    pub(crate) truth: Option<usize>,
}

/// The threshold below which a new whale is guessed first with the highest MAP@5, and that MAP@5, for the
/// fraction `new_fraction` of new whales. `None` if known or new whales are missing.
pub(crate) fn threshold(ranked: &[Ranked], new_fraction: f64) -> Option<(f32, f64)> {
    let new = ranked.iter().filter(|l| l.truth.is_none()).count();
    let known = ranked.len() - new;
    if new == 0 || known == 0 {
        return None;
    }
    let map = |at: f32| -> f64 {
        ranked
            .iter()
            .map(|l| {
                let precision = precision_with_new_whale(l.best.iter().copied(), l.truth, at);
                match l.truth {
                    None => precision * new_fraction / new as f64,
                    Some(_) => precision * (1.0 - new_fraction) / known as f64,
                }
            })
            .sum()
    };
    // Between the best probabilities of two photos the first place does not change; 200 are enough.
    let mut steps: Vec<f32> = ranked
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
        let mut all = [&parts.train[..], &parts.validation, &parts.new].concat();
        all.sort_unstable();
        assert_eq!(all, (0..800).collect::<Vec<_>>());
        assert!(parts.new.iter().all(|p| parts.new.contains(&(p - p % 4))));
        assert!(!parts.new.is_empty() && !parts.validation.is_empty());
        assert_eq!(parts, Holdout::of(&photos_of, 3));
        assert_ne!(parts, Holdout::of(&photos_of, 4));
        let few = Holdout::of(&[vec![0, 1], vec![2]], 3);
        assert!(few.validation.is_empty());
    }

    #[test]
    fn the_threshold_separates_known_from_new() {
        let ranked = |p: f32, truth| Ranked {
            best: vec![(7, p), (8, 0.05)],
            truth,
        };
        let mut all: Vec<Ranked> = (0..10)
            .map(|i| ranked(0.6 + 0.03 * i as f32, Some(7)))
            .collect();
        all.extend((0..10).map(|i| ranked(0.2 + 0.03 * i as f32, None)));
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
