//! A metric over several trials.

use crate::metrics::bootstrap::Interval;
use serde::Serialize;

/// Mean over the trials, interval and the value of each trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Mean over the trials.
    pub value: f64,
    /// 95 % interval over whales, for all trials together.
    pub interval: Option<Interval>,
    /// Value of each trial.
    pub by_trial: Vec<f64>,
}

impl Metric {
    /// The mean over trials, without an interval.
    pub(crate) fn of_trials(by_trial: Vec<f64>) -> Self {
        Self {
            value: mean(by_trial.iter().copied()),
            interval: None,
            by_trial,
        }
    }
}

/// Mean of the finite values; NaN without any.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let finite: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    finite.iter().sum::<f64>() / finite.len() as f64
}
