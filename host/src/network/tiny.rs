//! A network of four convolutions for small pictures: trained from scratch within seconds, so that losses and miners can be
//! tried on ground where the answer is known. The boat's flukes ask for more.

use super::{Activation, BatchNorm, Builder, Convolution, Op, Padding};

/// Channels after each convolution; each has a 3 x 3 kernel and halves the map.
const WIDTHS: [usize; 4] = [32, 64, 96, 128];

/// The four convolutions up to their 128 features; returns their number. They are blocks 1 to 4: it has no stem, so that
/// `frozen_blocks = 0` trains all of it.
pub fn tiny(net: &mut Builder, channels: usize) -> usize {
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
