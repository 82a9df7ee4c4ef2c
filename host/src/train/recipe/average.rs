//! `[average]`: weights averaged over steps or epochs, which are then evaluated and exported instead of the last ones.

use serde::{Deserialize, Serialize};

/// Which average is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AverageChoice {
    /// None: the last weights count.
    #[default]
    None,
    /// Exponential moving average after every step; young averages forget faster, by `min(decay, (1 + n) / (10 + n))`.
    Ema {
        /// Share of the average that a step keeps.
        decay: f64,
    },
    /// Stochastic weight averaging (Izmailov et al., UAI 2018): the mean of the weights at the ends of the last epochs; the
    /// statistics of batch normalisation are measured anew for it.
    Swa {
        /// Over how many of the last epochs.
        epochs: usize,
    },
}

impl AverageChoice {
    /// Says what makes no sense in a run of `epochs`.
    ///
    /// # Errors
    /// The setting and its limits.
    pub fn check(&self, epochs: usize) -> Result<(), String> {
        match *self {
            Self::Ema { decay } if !(0.0..1.0).contains(&decay) => {
                Err("average.decay must be 0 up to, but not, 1".into())
            }
            Self::Swa { epochs: over } if over == 0 || over > epochs => {
                Err(format!("average.epochs must be 1 to all {epochs} epochs"))
            }
            _ => Ok(()),
        }
    }
}
