//! `[average]`: weights averaged over steps or epochs. They are evaluated and exported in place of
//! the last ones.

use crate::about::{InvalidSetting, require, require_that};
use serde::{Deserialize, Serialize};

/// Which average is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AverageSettings {
    /// None: the last weights are used.
    #[default]
    None,
    /// Exponential moving average after every step. It starts with a shorter memory, by
    /// `min(decay, (1 + n) / (10 + n))` at step `n`, so that it does not keep the initial weights.
    Ema {
        /// Fraction of the average that a step keeps.
        decay: f64,
    },
    /// Stochastic weight averaging (Izmailov et al., UAI 2018): the mean of the weights at the ends
    /// of the last epochs, with batch normalisation statistics measured for it.
    Swa {
        /// Number of last epochs.
        epochs: usize,
    },
}

impl AverageSettings {
    /// Checks the values for a run of `epochs`.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self, epochs: usize) -> Result<(), InvalidSetting> {
        match *self {
            Self::Ema { decay } => require(
                (0.0..1.0).contains(&decay),
                "average.decay",
                "at least 0 and less than 1",
                decay,
            ),
            Self::Swa { epochs: over } => require_that(
                over > 0 && over <= epochs,
                "average.epochs",
                over,
                &format!("1 to {epochs}, the number of epochs"),
            ),
            Self::None => Ok(()),
        }
    }
}

#[cfg(feature = "libtorch")]
pub(crate) use tensors::{NamedTensors, WeightAverage};

#[cfg(feature = "libtorch")]
mod tensors {
    use super::AverageSettings;
    use tch::Tensor;

    pub(crate) type NamedTensors = Vec<(String, Tensor)>;

    /// Tensors that follow those of a network, which must come in the same order.
    pub(crate) struct WeightAverage {
        settings: AverageSettings,
        tensors: NamedTensors,
    }

    impl WeightAverage {
        /// Averages in place in `tensors`, which hold the initial average.
        pub(crate) fn new(settings: AverageSettings, tensors: NamedTensors) -> Self {
            Self { settings, tensors }
        }

        /// To call after each step; `steps` is their number so far.
        pub(crate) fn after_step(&self, now: &NamedTensors, steps: u64) {
            if let AverageSettings::Ema { decay } = self.settings {
                let young = (1 + steps) as f64 / (10 + steps) as f64;
                self.update(now, 1.0 - decay.min(young));
            }
        }

        /// To call after each epoch; `done` of `all` epochs. Returns whether the average now differs
        /// from the last weights, so that normalisation statistics must be measured for it.
        pub(crate) fn after_epoch(&self, now: &NamedTensors, done: usize, all: usize) -> bool {
            let AverageSettings::Swa { epochs: over } = self.settings else {
                return false;
            };
            let averaged = (done + over).saturating_sub(all).max(1);
            self.update(now, 1.0 / averaged as f64);
            averaged > 1
        }

        fn update(&self, now: &NamedTensors, fraction: f64) {
            tch::no_grad(|| {
                for ((name, average), (other, now)) in self.tensors.iter().zip(now) {
                    debug_assert_eq!(name, other);
                    let mut average = average.shallow_clone();
                    if fraction >= 1.0 {
                        average.copy_(now);
                    } else {
                        let _: Tensor = average.lerp_(now, fraction);
                    }
                }
            });
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn named(value: f32) -> NamedTensors {
            vec![("w".into(), Tensor::from_slice(&[value]))]
        }

        fn average(settings: AverageSettings) -> WeightAverage {
            WeightAverage::new(settings, named(1.0))
        }

        fn value(average: &WeightAverage) -> f64 {
            average.tensors[0].1.double_value(&[0])
        }

        #[test]
        fn an_ema_keeps_its_decay_once_it_is_old() {
            let ema = average(AverageSettings::Ema { decay: 0.9 });
            // At the first step (1 + 1) / (10 + 1) = 2/11 is kept.
            ema.after_step(&named(3.0), 1);
            assert!((value(&ema) - (2.0 / 11.0 + 3.0 * 9.0 / 11.0)).abs() < 1e-6);
            let before = value(&ema);
            ema.after_step(&named(0.0), 1000);
            assert!((value(&ema) - 0.9 * before).abs() < 1e-6);
            assert!(!ema.after_epoch(&named(7.0), 1, 2));
            assert!((value(&ema) - 0.9 * before).abs() < 1e-6);
        }

        #[test]
        fn swa_is_the_mean_of_the_last_epochs() {
            let swa = average(AverageSettings::Swa { epochs: 2 });
            swa.after_step(&named(9.0), 1);
            assert_eq!(value(&swa), 1.0);
            let changed: Vec<bool> = [5.0, 4.0, 8.0]
                .iter()
                .enumerate()
                .map(|(i, &w)| swa.after_epoch(&named(w), i + 1, 3))
                .collect();
            assert_eq!((value(&swa), changed), (6.0, vec![false, false, true]));
        }
    }
}
