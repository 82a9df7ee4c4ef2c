//! The embedding head: pooling → normalisation → dropout → linear. The L2 normalisation comes after, in float.

use super::{BatchNorm, Builder, HEAD, Op, Pooling};
use serde::{Deserialize, Serialize};

/// What turns a backbone's features into an embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// From map to vector.
    pub pooling: Pooling,
    /// Share of the features zeroed while training.
    pub dropout: f64,
    /// D.
    pub dimension: usize,
}

impl Head {
    /// Adds the head behind a map of `features` channels.
    pub fn attach(&self, net: &mut Builder, features: usize) {
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
