//! Which triplets of a batch a loss learns from. Miners work on plain numbers and need no libtorch.
//!
//! To add a miner: a file like the others, and a line below.

mod anchor;
mod distance_weighted;
mod hard;
mod random;
mod semi_hard;
mod soft_hard;
#[cfg(test)]
mod tests_support;

pub use anchor::{Anchor, Batch, Miner, Triplet};
pub use distance_weighted::DistanceWeighted;
pub use hard::Hard;
pub use random::Random;
pub use semi_hard::SemiHard;
pub use soft_hard::SoftHard;

use crate::about::{InvalidSetting, registry};
use rand_chacha::ChaCha8Rng;

registry! {
    /// The miner of a loss, with its settings: `loss.miner` of a recipe.
    MinerSettings of Miner {
        Random(Random),
        Hard(Hard),
        SemiHard(SemiHard),
        SoftHard(SoftHard),
        DistanceWeighted(DistanceWeighted),
    }
}

impl MinerSettings {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        self.kind().check().map_err(|setting| setting.of("miner"))
    }

    /// The triplets of a batch. An anchor without a positive or without a negative gives none.
    pub fn triplets(&self, batch: &Batch<'_>, random: &mut ChaCha8Rng) -> Vec<Triplet> {
        anchor::triplets(self.kind(), batch, random)
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::{mine, rng};
    use super::*;

    fn read(text: &str) -> Result<MinerSettings, toml::de::Error> {
        toml::from_str(text)
    }

    fn triplets(miner: &MinerSettings, distances: &[f32], classes: &[i64]) -> Vec<Triplet> {
        mine(miner.kind(), distances, classes, 8, &mut rng())
    }

    #[test]
    fn nothing_and_one_photo_make_no_triplet() {
        for miner in MinerSettings::all() {
            assert!(triplets(&miner, &[], &[]).is_empty());
            assert!(triplets(&miner, &[0.0], &[3]).is_empty());
        }
    }

    #[test]
    fn one_class_or_only_strangers_make_no_triplet() {
        for miner in MinerSettings::all() {
            for classes in [[1, 1, 1], [0, 1, 2]] {
                let triplets = triplets(&miner, &[0.7f32; 9], &classes);
                assert!(triplets.is_empty(), "{miner:?} {classes:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let distances: Vec<f32> = (0..64).map(|i| (i * 37 % 64) as f32 / 50.0).collect();
        let classes = [0, 0, 0, 1, 1, 1, 2, 2];
        for miner in MinerSettings::all() {
            let draw = || triplets(&miner, &distances, &classes);
            assert_eq!(draw(), draw());
        }
    }

    #[test]
    fn a_kind_alone_has_its_defaults() {
        assert_eq!(
            read("kind = \"semi-hard\"").unwrap(),
            MinerSettings::SemiHard(SemiHard { margin: 0.2 })
        );
        assert_eq!(
            read("kind = \"distance-weighted\"").unwrap(),
            MinerSettings::DistanceWeighted(DistanceWeighted {})
        );
    }

    #[test]
    fn unknown_kinds_and_settings_are_rejected() {
        let error = read("kind = \"hard\"\nmargin = 0.2").unwrap_err();
        assert!(error.message().contains("margin"), "{error}");
        assert!(read("kind = \"hardest\"").is_err());
        for margin in [0.0, -1.0, 2.5, f64::NAN] {
            let miner = MinerSettings::SemiHard(SemiHard { margin });
            assert!(miner.check().is_err());
        }
        assert!(MinerSettings::all().iter().all(|m| m.check().is_ok()));
    }
}
