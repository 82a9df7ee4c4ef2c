//! Which photos make a batch.

use super::divide::Division;
use super::recipe::{Recipe, SamplerSettings};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One photo of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    /// Position in the training set.
    pub(super) photo: usize,
    /// Left and right swapped.
    pub(super) mirrored: bool,
    /// Its class: the whale's number, or with mirrored flukes as new identities twice that, plus one if
    /// mirrored.
    pub(super) class: usize,
}

/// The plan of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchPlan {
    /// The cluster of all its photos; `None` if photos are not divided.
    pub(super) cluster: Option<usize>,
    /// Its photos.
    pub(super) draws: Vec<Draw>,
}

/// Plans each epoch's batches from the seed alone, so that a resumed run draws what an uninterrupted
/// one draws.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    photos_of: Vec<Vec<usize>>,
    batch_size: usize,
    settings: SamplerSettings,
    mirror_as_new_identity: bool,
    seed: u64,
}

impl Sampler {
    /// `photos_of[w]`: the photos of whale `w`.
    pub(super) fn new(photos_of: Vec<Vec<usize>>, recipe: &Recipe) -> Self {
        Self {
            photos_of,
            batch_size: recipe.batch_size,
            settings: recipe.sampler.clone(),
            mirror_as_new_identity: recipe.mirror_as_new_identity,
            seed: recipe.seed,
        }
    }

    /// Number of classes of the loss.
    pub(super) fn classes(&self) -> usize {
        self.photos_of.len() * if self.mirror_as_new_identity { 2 } else { 1 }
    }

    /// The photos of each whale.
    pub(super) fn photos_of(&self) -> &[Vec<usize>] {
        &self.photos_of
    }

    /// Batches per epoch, whether or not photos are divided.
    pub(super) fn batches(&self) -> usize {
        (self.photos_of.iter().map(Vec::len).sum::<usize>() / self.batch_size).max(1)
    }

    /// The batches of `epoch`: from all photos, or each from one cluster of a division. Clusters alternate
    /// in proportion to their photos; one without a batch (no photo, or with pairs required no two whales
    /// with pairs) is skipped.
    pub(super) fn epoch(&self, epoch: usize, division: Option<&Division>) -> Vec<BatchPlan> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        let Some(division) = division else {
            let all = self.batches_of(&self.photos_of, self.batches(), &mut rng);
            let plan = |draws| BatchPlan {
                cluster: None,
                draws,
            };
            return all.into_iter().map(plan).collect();
        };
        let clusters = division.of.iter().max().map_or(0, |k| k + 1);
        let shares: Vec<Vec<Vec<usize>>> = (0..clusters)
            .map(|k| {
                let in_cluster = |photos: &Vec<usize>| -> Vec<usize> {
                    photos
                        .iter()
                        .copied()
                        .filter(|&p| division.of[p] == k)
                        .collect()
                };
                self.photos_of.iter().map(in_cluster).collect()
            })
            .collect();
        let sizes: Vec<usize> = shares.iter().map(|whales| self.usable(whales)).collect();
        let counts = in_proportion(self.batches(), &sizes);
        let queues = shares
            .iter()
            .zip(&counts)
            .map(|(whales, &count)| self.batches_of(whales, count, &mut rng))
            .collect();
        interleave(queues)
    }

    fn draw(&self, whale: usize, photo: usize, mirrored: bool) -> Draw {
        let class = if self.mirror_as_new_identity {
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

    /// Number of photos that can be drawn.
    fn usable(&self, whales: &[Vec<usize>]) -> usize {
        let count =
            |least: usize| -> usize { whales.iter().map(Vec::len).filter(|&n| n >= least).sum() };
        match self.settings {
            SamplerSettings::Shuffled if count(1) >= 2 => count(1),
            // One whale alone gives no negatives.
            SamplerSettings::Pk { .. } if whales.iter().filter(|w| w.len() >= 2).count() >= 2 => {
                count(2)
            }
            _ => 0,
        }
    }

    /// `count` batches of these whales.
    fn batches_of(
        &self,
        whales: &[Vec<usize>],
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Vec<Draw>> {
        match self.settings {
            SamplerSettings::Shuffled => self.shuffled(whales, count, rng),
            SamplerSettings::Pk {
                photos_per_identity,
            } => self.pk(whales, photos_per_identity, count, rng),
        }
    }

    /// Every photo once before any is repeated. Photos that do not fill a batch are left out of the epoch,
    /// since normalisation over very few would be noise.
    fn shuffled(
        &self,
        whales: &[Vec<usize>],
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Vec<Draw>> {
        let mut left: Vec<Draw> = vec![];
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let mut batch: Vec<Draw> = vec![];
            while batch.len() < self.batch_size {
                if left.is_empty() {
                    let all: usize = whales.iter().map(Vec::len).sum();
                    if all == 0 || batch.len() >= all {
                        break;
                    }
                    for (whale, photos) in whales.iter().enumerate() {
                        for &photo in photos {
                            let mirrored = self.mirror_as_new_identity && rng.random();
                            left.push(self.draw(whale, photo, mirrored));
                        }
                    }
                    left.shuffle(rng);
                }
                let take = (self.batch_size - batch.len()).min(left.len());
                batch.extend(left.drain(left.len() - take..));
            }
            batches.push(batch);
        }
        batches
    }

    fn pk(
        &self,
        whales: &[Vec<usize>],
        k: usize,
        count: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Vec<Draw>> {
        let eligible: Vec<usize> = (0..whales.len())
            .filter(|&w| whales[w].len() >= 2)
            .collect();
        let p = (self.batch_size / k).min(eligible.len());
        let mut order: Vec<usize> = vec![];
        (0..count)
            .map(|_| {
                if order.len() < p {
                    order.clone_from(&eligible);
                    order.shuffle(rng);
                }
                let mut batch = Vec::with_capacity(p * k);
                for whale in order.split_off(order.len() - p) {
                    let mirrored = self.mirror_as_new_identity && rng.random();
                    let photos = &whales[whale];
                    // Fewer photos than K: some are drawn twice, with different augmentation.
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

/// Splits `total` in proportion to `sizes`, by largest remainders.
fn in_proportion(total: usize, sizes: &[usize]) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    if all == 0 {
        return vec![0; sizes.len()];
    }
    let mut counts: Vec<usize> = sizes.iter().map(|&s| total * s / all).collect();
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&k| sizes[k] > 0).collect();
    order.sort_by_key(|&k| std::cmp::Reverse(total * sizes[k] % all));
    let left = total - counts.iter().sum::<usize>();
    for &k in order.iter().take(left) {
        counts[k] += 1;
    }
    counts
}

/// Interleaves the batches: the next one is from the cluster that lags most.
fn interleave(queues: Vec<Vec<Vec<Draw>>>) -> Vec<BatchPlan> {
    let mut batches: Vec<(f64, usize, Vec<Draw>)> = vec![];
    for (k, queue) in queues.into_iter().enumerate() {
        let count = queue.len() as f64;
        for (i, draws) in queue.into_iter().enumerate() {
            batches.push(((i as f64 + 0.5) / count, k, draws));
        }
    }
    batches.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    batches
        .into_iter()
        .map(|(_, k, draws)| BatchPlan {
            cluster: Some(k),
            draws,
        })
        .collect()
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

    fn sampler(
        photos_of: Vec<Vec<usize>>,
        batch_size: usize,
        settings: SamplerSettings,
        mirror_as_new_identity: bool,
        seed: u64,
    ) -> Sampler {
        let recipe = Recipe {
            batch_size,
            sampler: settings,
            mirror_as_new_identity,
            seed,
            ..Recipe::default()
        };
        Sampler::new(photos_of, &recipe)
    }

    fn draws(sampler: &Sampler, epoch: usize, division: Option<&Division>) -> Vec<Vec<Draw>> {
        let planned = sampler.epoch(epoch, division);
        planned.into_iter().map(|p| p.draws).collect()
    }

    #[test]
    fn every_photo_once_an_epoch() {
        let sampler = sampler(photos_of(), 4, SamplerSettings::Shuffled, true, 3);
        let drawn: Vec<Draw> = draws(&sampler, 0, None).concat();
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
        let of = |seed| sampler(photos_of(), 4, SamplerSettings::Shuffled, true, seed);
        assert_eq!(of(3).epoch(5, None), of(3).epoch(5, None));
        assert_ne!(of(3).epoch(5, None), of(3).epoch(6, None));
        assert_ne!(of(3).epoch(5, None), of(4).epoch(5, None));
    }

    #[test]
    fn p_whales_with_k_photos() {
        let sampler = sampler(
            photos_of(),
            12,
            SamplerSettings::Pk {
                photos_per_identity: 4,
            },
            false,
            3,
        );
        for batch in draws(&sampler, 0, None) {
            let mut of_whale: HashMap<usize, Vec<usize>> = HashMap::new();
            for d in &batch {
                of_whale.entry(d.class).or_default().push(d.photo);
            }
            assert_eq!(batch.len(), 12);
            assert!(
                !of_whale.contains_key(&0),
                "a whale of one photo gives no pair"
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
    fn one_photo_per_whale_gives_no_pairs() {
        let sampler = sampler(
            vec![vec![0], vec![1]],
            4,
            SamplerSettings::Pk {
                photos_per_identity: 2,
            },
            false,
            3,
        );
        assert!(draws(&sampler, 0, None).iter().all(Vec::is_empty));
    }

    /// 32 photos of 8 whales (`photos_of`) in three clusters: most in 0, four photos of one whale in 1, none in 2, two in 3.
    fn division() -> Division {
        let mut of = vec![0; 32];
        of[11..15].fill(1);
        of[0] = 3;
        of[31] = 3;
        Division { of }
    }

    #[test]
    fn batches_of_a_division_stay_in_their_cluster() {
        let sampler = sampler(photos_of(), 4, SamplerSettings::Shuffled, true, 3);
        let planned = sampler.epoch(0, Some(&division()));
        assert_eq!(
            planned.len(),
            sampler.batches(),
            "as many steps as undivided"
        );
        for p in &planned {
            assert!(
                p.draws
                    .iter()
                    .all(|d| Some(division().of[d.photo]) == p.cluster)
            );
        }
        let of = |k| planned.iter().filter(|p| p.cluster == Some(k)).count();
        // 26, 4, 0 and 2 of 32 photos; 8 batches: 6.5, 1, 0 and 0.5.
        assert_eq!((of(0) + of(1) + of(3), of(1), of(2)), (8, 1, 0));
        assert!(
            planned
                .iter()
                .all(|p| p.cluster != Some(3) || p.draws.len() == 2)
        );
    }

    #[test]
    fn clusters_without_pairs_of_two_whales_are_skipped() {
        let pk = SamplerSettings::Pk {
            photos_per_identity: 2,
        };
        let sampler = sampler(photos_of(), 4, pk, false, 3);
        let planned = sampler.epoch(2, Some(&division()));
        assert_eq!(planned.len(), 8);
        assert!(planned.iter().all(|p| p.cluster == Some(0)));
    }

    #[test]
    fn clusters_interleave() {
        let of = (0..32).map(|i| usize::from(i >= 16)).collect();
        let sampler = sampler(photos_of(), 4, SamplerSettings::Shuffled, false, 3);
        let turns: Vec<_> = sampler
            .epoch(0, Some(&Division { of }))
            .iter()
            .map(|p| p.cluster.unwrap())
            .collect();
        assert_eq!(turns, [0, 1, 0, 1, 0, 1, 0, 1]);
    }
}
