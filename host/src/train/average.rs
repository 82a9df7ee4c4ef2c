//! Averaged weights beside those that learn.

use super::checkpoint::{AVERAGE, averaged};
use super::forward::TorchNetwork;
use super::recipe::AverageChoice;
use crate::network::weights::Weights;
use tch::Tensor;

/// The network with averaged weights.
pub struct Average {
    choice: AverageChoice,
    /// To evaluate and export.
    pub network: TorchNetwork,
}

impl Average {
    /// Beginning at the weights as they are; `None` where no average is asked for.
    pub fn of(network: &TorchNetwork, choice: AverageChoice) -> Option<Self> {
        (choice != AverageChoice::None).then(|| Self {
            choice,
            network: network.shadow(),
        })
    }

    /// After a step, `steps` of them in all.
    pub fn after_step(&mut self, network: &TorchNetwork, steps: u64) {
        if let AverageChoice::Ema { decay } = self.choice {
            let young = (1 + steps) as f64 / (10 + steps) as f64;
            self.towards(network, 1.0 - decay.min(young));
        }
    }

    /// After an epoch, `epochs` done of `all`. Says whether this changed weights whose statistics were not measured with them.
    pub fn after_epoch(&mut self, network: &TorchNetwork, epochs: usize, all: usize) -> bool {
        let AverageChoice::Swa { epochs: over } = self.choice else {
            return false;
        };
        let averaged = (epochs + over).saturating_sub(all).max(1);
        self.towards(network, 1.0 / averaged as f64);
        averaged > 1
    }

    fn towards(&self, network: &TorchNetwork, share: f64) {
        tch::no_grad(|| {
            for ((_, mut average), (_, now)) in
                self.network.tensors().into_iter().zip(network.tensors())
            {
                if share >= 1.0 {
                    average.copy_(&now);
                } else {
                    let _: Tensor = average.lerp_(&now, share);
                }
            }
        });
    }

    /// For a checkpoint.
    pub fn weights(&self) -> Weights {
        self.network
            .weights()
            .into_iter()
            .map(|(name, v)| (format!("{AVERAGE}{name}"), v))
            .collect()
    }

    /// Takes the average out of a checkpoint.
    pub fn restore(&mut self, saved: &Weights) {
        let own = averaged(saved);
        if !own.is_empty() {
            self.network.take_weights(&own);
        }
    }
}
