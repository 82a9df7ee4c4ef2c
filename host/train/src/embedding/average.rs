//! The network with averaged weights.

use super::network::TorchNetwork;
use crate::trainer::average::{AverageSettings, WeightAverage};
use crate::trainer::checkpoint::{averaged, with_average_prefix};
use flukewatch_network::weights::Weights;

pub(super) struct AveragedNetwork {
    /// To evaluate and export.
    pub(super) network: TorchNetwork,
    average: WeightAverage,
}

impl AveragedNetwork {
    /// `None` if no average is kept. Continues the average in `saved`, if there is one, or starts with
    /// the current weights.
    pub(super) fn start(
        of: &TorchNetwork,
        settings: AverageSettings,
        saved: Option<&Weights>,
    ) -> Option<Self> {
        if settings == AverageSettings::None {
            return None;
        }
        let weights = saved
            .map(averaged)
            .filter(|weights| !weights.is_empty())
            .unwrap_or_else(|| of.weights());
        let network = of.untrained(&weights);
        let average = WeightAverage::new(settings, network.tensors());
        Some(Self { network, average })
    }

    pub(super) fn after_step(&self, of: &TorchNetwork, steps: u64) {
        self.average.after_step(&of.tensors(), steps);
    }

    /// Whether normalisation statistics must now be measured.
    pub(super) fn after_epoch(&self, of: &TorchNetwork, done: usize, all: usize) -> bool {
        self.average.after_epoch(&of.tensors(), done, all)
    }

    pub(super) fn weights(&self) -> Weights {
        with_average_prefix(self.network.weights())
    }
}
