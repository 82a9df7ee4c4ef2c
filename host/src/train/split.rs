//! Whales to learn from, and whales that are kept aside to see how well it goes on whales never seen.

use crate::dataset::Dataset;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Named whales with their photos, as positions in the dataset.
pub type Whales = Vec<(String, Vec<usize>)>;

/// No whale is on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Whales,
    /// Kept aside.
    pub watch: Whales,
}

impl Split {
    /// Keeps `validation_whales` whales with two photos or more aside, drawn from `seed`: the same photos and seed always give
    /// the same split.
    pub fn of(dataset: &Dataset, validation_whales: usize, seed: u64) -> Self {
        let mut train: Whales = dataset
            .by_whale()
            .into_iter()
            .map(|(w, photos)| (w.to_owned(), photos))
            .collect();
        let mut able: Vec<usize> = (0..train.len())
            .filter(|&i| train[i].1.len() >= 2)
            .collect();
        able.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ 0x7a11_da7e));
        able.truncate(validation_whales);
        able.sort_unstable();
        let watch = able.into_iter().rev().map(|i| train.remove(i)).collect();
        Self { train, watch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::LabelledPhoto;

    #[test]
    fn no_whale_is_on_both_sides() {
        let photos = (0..40)
            .map(|i| LabelledPhoto {
                path: "x".into(),
                name: i.to_string(),
                whale: (i % 13 != 0).then(|| format!("W{}", i / 2)),
                region: None,
                date: None,
                encounter: None,
            })
            .collect();
        let dataset = Dataset { photos };
        let split = Split::of(&dataset, 5, 9);
        assert_eq!(split.watch.len(), 5);
        assert!(
            split
                .watch
                .iter()
                .all(|(w, photos)| photos.len() >= 2 && split.train.iter().all(|(t, _)| t != w))
        );
        assert_eq!(split, Split::of(&dataset, 5, 9));
        assert_ne!(split, Split::of(&dataset, 5, 10));
    }
}
