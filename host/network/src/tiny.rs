//! Four convolutions for small pictures: trains from scratch within seconds, to try losses and
//! miners on data with a known answer. Too small for flukes.

use super::spec::Naming;
use super::spec::{IMAGENET, Spec};
use super::{Activation, BatchNorm, Builder, Convolution, Op, Padding};

pub(super) static TINY: Spec = Spec {
    name: "tiny",
    normalisation: IMAGENET,
    namings: &[(Naming::Native, "our own names")],
    build: |net, channels, _| tiny(net, channels),
};

/// Channels after each convolution; each has a 3 x 3 kernel and halves the map.
const WIDTHS: [usize; 4] = [32, 64, 96, 128];

/// The convolutions are blocks 1 to 4; without a stem, `frozen_blocks = 0` trains all of them.
fn tiny(net: &mut Builder, channels: usize) -> usize {
    let mut width = channels;
    for (block, outputs) in (1..).zip(WIDTHS) {
        net.enter(block);
        net.then(Op::Convolution(Convolution {
            name: format!("conv{block}"),
            inputs: width,
            outputs,
            kernel: 3,
            stride: 2,
            groups: 1,
            padding: Padding::Symmetric(1),
            norm: Some(BatchNorm {
                name: format!("bn{block}"),
                channels: outputs,
                epsilon: 1e-5,
                momentum: 0.1,
            }),
        }));
        net.then(Op::Activation(Activation::Relu));
        width = outputs;
    }
    width
}
