//! EfficientNet-Lite (Tan & Le 2019; the Lite variants drop squeeze-and-excitation and swish, for integer engines), with the
//! parameter names of the `efficientnet-lite-pytorch` packages.

use super::{Activation, BatchNorm, Builder, Convolution, NodeId, Op, Padding};

const EPSILON: f64 = 1e-3;

/// (repeats, kernel, stride, expansion, channels out)
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// EfficientNet-Lite0 up to its 1280 features; returns their number.
pub fn lite0(net: &mut Builder, channels: usize) -> usize {
    let conv = |name: &str,
                norm: &str,
                inputs: usize,
                outputs: usize,
                kernel: usize,
                stride: usize,
                groups: usize| {
        Op::Convolution(Convolution {
            name: name.to_owned(),
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding: Padding::Same,
            norm: BatchNorm {
                name: norm.to_owned(),
                channels: outputs,
                epsilon: EPSILON,
            },
        })
    };
    let relu6 = || Op::Activation(Activation::Relu6);
    net.enter(0);
    net.then(conv("_conv_stem", "_bn0", channels, 32, 3, 2, 1));
    net.then(relu6());
    let (mut width, mut block) = (32, 0);
    for (repeats, kernel, first_stride, expansion, outputs) in STAGES {
        for repeat in 0..repeats {
            net.enter(block + 1);
            let name = |part: &str| format!("_blocks.{block}.{part}");
            let stride = if repeat == 0 { first_stride } else { 1 };
            let start: NodeId = net.last();
            let wide = width * expansion;
            if expansion != 1 {
                net.then(conv(
                    &name("_expand_conv"),
                    &name("_bn0"),
                    width,
                    wide,
                    1,
                    1,
                    1,
                ));
                net.then(relu6());
            }
            net.then(conv(
                &name("_depthwise_conv"),
                &name("_bn1"),
                wide,
                wide,
                kernel,
                stride,
                wide,
            ));
            net.then(relu6());
            let end = net.then(conv(
                &name("_project_conv"),
                &name("_bn2"),
                wide,
                outputs,
                1,
                1,
                1,
            ));
            if stride == 1 && width == outputs {
                net.add(Op::Add, &[end, start]);
            }
            width = outputs;
            block += 1;
        }
    }
    net.enter(block + 1);
    net.then(conv("_conv_head", "_bn1", width, 1280, 1, 1, 1));
    net.then(relu6());
    1280
}
