//! Which photos make a batch.

use super::recipe::SamplerChoice;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One photo of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Position in the training set.
    pub photo: usize,
    /// Left and right swapped.
    pub mirrored: bool,
    /// What it counts as: the whale's number, or with mirrored flukes as whales of their own twice that, plus one if mirrored.
    pub class: usize,
}

/// Makes each epoch's batches from the seed alone, so that a resumed run draws what an unbroken one draws.
#[derive(Clone, Debug)]
pub struct Sampler {
    photos_of: Vec<Vec<usize>>,
    batch: usize,
    choice: SamplerChoice,
    mirror_is_another: bool,
    seed: u64,
}

impl Sampler {
    /// `photos_of[w]`: the photos of whale `w`.
    pub fn new(
        photos_of: Vec<Vec<usize>>,
        batch: usize,
        choice: SamplerChoice,
        mirror_is_another: bool,
        seed: u64,
    ) -> Self {
        Self {
            photos_of,
            batch,
            choice,
            mirror_is_another,
            seed,
        }
    }

    /// How many classes the loss tells apart.
    pub fn classes(&self) -> usize {
        self.photos_of.len() * if self.mirror_is_another { 2 } else { 1 }
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        (self.photos_of.iter().map(Vec::len).sum::<usize>() / self.batch).max(1)
    }

    /// The batches of `epoch`.
    pub fn epoch(&self, epoch: usize) -> Vec<Vec<Draw>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        match self.choice {
            SamplerChoice::Shuffled => self.shuffled(&mut rng),
            SamplerChoice::Pk { photos_per_whale } => self.pk(photos_per_whale, &mut rng),
        }
    }

    fn draw(&self, whale: usize, photo: usize, mirrored: bool) -> Draw {
        let class = if self.mirror_is_another {
            2 * whale + usize::from(mirrored)
        } else {
            whale
        };
        Draw {
            photo,
            mirrored,
            class,
        }
    }

    fn shuffled(&self, rng: &mut ChaCha8Rng) -> Vec<Vec<Draw>> {
        let mut all: Vec<Draw> = vec![];
        for (whale, photos) in self.photos_of.iter().enumerate() {
            for &photo in photos {
                let mirrored = self.mirror_is_another && rng.random();
                all.push(self.draw(whale, photo, mirrored));
            }
        }
        all.shuffle(rng);
        // The last photos that fill no batch sit this epoch out; normalisation over very few would be noise.
        let whole = all.len() / self.batch * self.batch;
        if whole > 0 {
            all.truncate(whole);
        }
        all.chunks(self.batch).map(<[Draw]>::to_vec).collect()
    }

    fn pk(&self, k: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<Draw>> {
        let able: Vec<usize> = (0..self.photos_of.len())
            .filter(|&w| self.photos_of[w].len() >= 2)
            .collect();
        let p = (self.batch / k).min(able.len());
        let mut order: Vec<usize> = vec![];
        (0..self.batches())
            .map(|_| {
                if order.len() < p {
                    order.clone_from(&able);
                    order.shuffle(rng);
                }
                let mut batch = Vec::with_capacity(p * k);
                for whale in order.split_off(order.len() - p) {
                    let mirrored = self.mirror_is_another && rng.random();
                    let photos = &self.photos_of[whale];
                    // Fewer photos than K: some are drawn twice; their variations differ.
                    let chosen: Vec<usize> = if photos.len() >= k {
                        photos.sample(rng, k).copied().collect()
                    } else {
                        photos.iter().copied().cycle().take(k).collect()
                    };
                    batch.extend(
                        chosen
                            .into_iter()
                            .map(|photo| self.draw(whale, photo, mirrored)),
                    );
                }
                batch
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn photos_of() -> Vec<Vec<usize>> {
        let mut next = 0;
        [1usize, 2, 3, 5, 8, 2, 7, 4]
            .iter()
            .map(|&n| {
                next += n;
                (next - n..next).collect()
            })
            .collect()
    }

    #[test]
    fn every_photo_once_an_epoch() {
        let sampler = Sampler::new(photos_of(), 4, SamplerChoice::Shuffled, true, 3);
        let drawn: Vec<Draw> = sampler.epoch(0).concat();
        assert_eq!(drawn.len(), 32);
        assert_eq!(
            drawn.iter().map(|d| d.photo).collect::<HashSet<_>>().len(),
            32
        );
        assert!(drawn.iter().all(|d| d.class % 2 == usize::from(d.mirrored)));
        assert_eq!(sampler.classes(), 16);
    }

    #[test]
    fn an_epoch_follows_from_the_seed() {
        let sampler = |seed| Sampler::new(photos_of(), 4, SamplerChoice::Shuffled, true, seed);
        assert_eq!(sampler(3).epoch(5), sampler(3).epoch(5));
        assert_ne!(sampler(3).epoch(5), sampler(3).epoch(6));
        assert_ne!(sampler(3).epoch(5), sampler(4).epoch(5));
    }

    #[test]
    fn p_whales_with_k_photos() {
        let sampler = Sampler::new(
            photos_of(),
            12,
            SamplerChoice::Pk {
                photos_per_whale: 4,
            },
            false,
            3,
        );
        for batch in sampler.epoch(0) {
            let mut of_whale: HashMap<usize, Vec<usize>> = HashMap::new();
            for d in &batch {
                of_whale.entry(d.class).or_default().push(d.photo);
            }
            assert_eq!(batch.len(), 12);
            assert!(
                !of_whale.contains_key(&0),
                "a whale of one photo makes no pair"
            );
            for (whale, photos) in of_whale {
                assert!(photos.iter().all(|p| photos_of()[whale].contains(p)));
                let distinct = photos.iter().collect::<HashSet<_>>().len();
                assert_eq!(
                    distinct,
                    photos_of()[whale].len().min(4),
                    "as many different photos as there are"
                );
            }
        }
    }

    #[test]
    fn one_photo_per_whale_everywhere_makes_no_pairs() {
        let sampler = Sampler::new(
            vec![vec![0], vec![1]],
            4,
            SamplerChoice::Pk {
                photos_per_whale: 2,
            },
            false,
            3,
        );
        assert!(sampler.epoch(0).iter().all(Vec::is_empty));
    }
}
