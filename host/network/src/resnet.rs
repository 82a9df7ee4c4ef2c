//! ResNet-18 and -50 (He et al. 2016) with torchvision's parameter names, which timm shares; the
//! stride of a bottleneck sits on its 3x3 convolution, as there.

use super::spec::Naming;
use super::spec::{IMAGENET, Spec};
use super::{Activation, BatchNorm, Builder, Convolution, NodeId, Op, Padding};

/// timm took torchvision's names.
const NAMINGS: &[(Naming, &str)] = &[(Naming::Native, "torchvision and timm names")];

pub(super) static RESNET18: Spec = Spec {
    name: "resnet18",
    normalisation: IMAGENET,
    namings: NAMINGS,
    build: |net, channels, _| resnet18(net, channels),
};
pub(super) static RESNET50: Spec = Spec {
    name: "resnet50",
    normalisation: IMAGENET,
    namings: NAMINGS,
    build: |net, channels, _| resnet50(net, channels),
};

fn conv(name: &str, norm: &str, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Op {
    Op::Convolution(Convolution {
        name: name.to_owned(),
        inputs,
        outputs,
        kernel,
        stride,
        groups: 1,
        padding: Padding::Symmetric(kernel / 2),
        norm: Some(BatchNorm {
            name: norm.to_owned(),
            channels: outputs,
            epsilon: 1e-5,
            momentum: 0.1,
        }),
    })
}

fn stem(net: &mut Builder, channels: usize) {
    net.enter(0);
    net.then(conv("conv1", "bn1", channels, 64, 7, 2));
    net.then(Op::Activation(Activation::Relu));
    net.then(Op::MaxPool {
        kernel: 3,
        stride: 2,
        padding: 1,
    });
}

fn resnet18(net: &mut Builder, channels: usize) -> usize {
    stem(net, channels);
    stages(net, &[2, 2, 2, 2], 1, |net, name, width, inner, stride| {
        net.then(conv(
            &format!("{name}.conv1"),
            &format!("{name}.bn1"),
            width,
            inner,
            3,
            stride,
        ));
        net.then(Op::Activation(Activation::Relu));
        net.then(conv(
            &format!("{name}.conv2"),
            &format!("{name}.bn2"),
            inner,
            inner,
            3,
            1,
        ))
    })
}

fn resnet50(net: &mut Builder, channels: usize) -> usize {
    stem(net, channels);
    stages(net, &[3, 4, 6, 3], 4, |net, name, width, inner, stride| {
        net.then(conv(
            &format!("{name}.conv1"),
            &format!("{name}.bn1"),
            width,
            inner,
            1,
            1,
        ));
        net.then(Op::Activation(Activation::Relu));
        net.then(conv(
            &format!("{name}.conv2"),
            &format!("{name}.bn2"),
            inner,
            inner,
            3,
            stride,
        ));
        net.then(Op::Activation(Activation::Relu));
        net.then(conv(
            &format!("{name}.conv3"),
            &format!("{name}.bn3"),
            inner,
            inner * 4,
            1,
            1,
        ))
    })
}

/// Four stages of residual blocks; `branch` adds a block's residual branch and returns its end.
fn stages(
    net: &mut Builder,
    repeats: &[usize; 4],
    expansion: usize,
    branch: impl Fn(&mut Builder, &str, usize, usize, usize) -> NodeId,
) -> usize {
    let (mut width, mut block) = (64, 0);
    for (stage, &repeats) in repeats.iter().enumerate() {
        let inner = 64 << stage;
        for repeat in 0..repeats {
            block += 1;
            net.enter(block);
            let name = format!("layer{}.{repeat}", stage + 1);
            let stride = if repeat == 0 && stage > 0 { 2 } else { 1 };
            let start = net.last();
            let end = branch(net, &name, width, inner, stride);
            let outputs = inner * expansion;
            let skip = if stride != 1 || width != outputs {
                let (c, n) = (
                    format!("{name}.downsample.0"),
                    format!("{name}.downsample.1"),
                );
                net.add(conv(&c, &n, width, outputs, 1, stride), &[start])
            } else {
                start
            };
            net.add(Op::Add, &[end, skip]);
            net.then(Op::Activation(Activation::Relu));
            width = outputs;
        }
    }
    width
}
