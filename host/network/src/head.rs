//! The embedding head: pooling → batch normalisation → dropout → linear. The L2 normalisation that
//! follows stays in float.

use super::{BatchNorm, Builder, HEAD, Op, Pooling};
use serde::{Deserialize, Serialize};

/// Turns a feature map into an embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// How the map becomes a vector.
    pub pooling: Pooling,
    /// Fraction of the features zeroed during training.
    pub dropout: f64,
    /// Numbers in an embedding.
    pub dimension: usize,
}

impl Head {
    /// Adds the head after a map of `features` channels.
    pub(super) fn attach(&self, net: &mut Builder, features: usize) {
        net.enter(HEAD);
        net.then(Op::Pool(self.pooling));
        net.then(Op::Norm(BatchNorm {
            name: "embedding.norm".into(),
            channels: features,
            epsilon: 1e-5,
            momentum: 0.1,
        }));
        if self.dropout > 0.0 {
            net.then(Op::Dropout(self.dropout));
        }
        net.then(Op::Linear {
            name: "embedding.linear".into(),
            inputs: features,
            outputs: self.dimension,
        });
    }
}
