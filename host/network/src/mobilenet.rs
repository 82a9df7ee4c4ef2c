//! MobileNetV3-Large (Howard et al. 2019) up to its 960 features, with the parameter names of
//! torchvision or timm (`mobilenetv3_large_100`, which pools the features before a last layer of
//! its own that is left out here).

use super::inverted_residual::{InvertedResidual, Names, Part, Style, multiple_of_8};
use super::spec::Naming;
use super::spec::{IMAGENET, Spec};
use super::{Activation, Builder, Op};

pub(super) static V3_LARGE: Spec = Spec {
    name: "mobilenet-v3-large",
    normalisation: IMAGENET,
    namings: &[
        (Naming::Native, "torchvision names"),
        (Naming::Timm, "timm names"),
    ],
    build: v3_large,
};

/// (timm's stage, kernel, stride, expanded channels, channels out, squeeze-and-excitation)
const BLOCKS: [(usize, usize, usize, usize, usize, bool); 15] = [
    (0, 3, 1, 16, 16, false),
    (1, 3, 2, 64, 24, false),
    (1, 3, 1, 72, 24, false),
    (2, 5, 2, 72, 40, true),
    (2, 5, 1, 120, 40, true),
    (2, 5, 1, 120, 40, true),
    (3, 3, 2, 240, 80, false),
    (3, 3, 1, 200, 80, false),
    (3, 3, 1, 184, 80, false),
    (3, 3, 1, 184, 80, false),
    (4, 3, 1, 480, 112, true),
    (4, 3, 1, 672, 112, true),
    (5, 5, 2, 672, 160, true),
    (5, 5, 1, 960, 160, true),
    (5, 5, 1, 960, 160, true),
];

/// From this stage on activations are hard-swish; before, ReLU.
const HARD_SWISH_FROM: usize = 3;

fn v3_large(net: &mut Builder, channels: usize, naming: Naming) -> usize {
    let style = Style {
        same_padding: false,
        // timm trains and publishes its weights with PyTorch's own epsilon.
        epsilon: match naming {
            Naming::Native => 1e-3,
            Naming::Timm => 1e-5,
        },
        momentum: 0.01,
    };
    let (stem, last) = ends(naming);
    net.enter(0);
    net.then(style.convolution(stem, [channels, 16], 3, 2, 1));
    net.then(Op::Activation(Activation::HardSwish));
    let (mut width, mut stage_before, mut repeat) = (16, 0, 0);
    for (index, (stage, kernel, stride, expanded, outputs, excites)) in
        BLOCKS.into_iter().enumerate()
    {
        let number = index + 1;
        net.enter(number);
        repeat = if stage == stage_before && index > 0 {
            repeat + 1
        } else {
            0
        };
        let residual = InvertedResidual {
            inputs: width,
            expanded,
            outputs,
            kernel,
            stride,
            squeezed: excites.then(|| multiple_of_8((expanded / 4) as f64)),
            activation: if stage < HARD_SWISH_FROM {
                Activation::Relu
            } else {
                Activation::HardSwish
            },
        };
        residual.add(net, style, |part| match naming {
            Naming::Native => torchvision(&residual, number, part),
            Naming::Timm => residual.timm_names(stage, repeat, part),
        });
        (width, stage_before) = (outputs, stage);
    }
    net.enter(BLOCKS.len() + 1);
    net.then(style.convolution(last, [width, 960], 1, 1, 1));
    net.then(Op::Activation(Activation::HardSwish));
    960
}

/// The names of the first and the last convolution.
fn ends(naming: Naming) -> (Names, Names) {
    let names = |convolution: &str, norm: &str| (convolution.to_owned(), Some(norm.to_owned()));
    match naming {
        Naming::Native => (
            names("features.0.0", "features.0.1"),
            names("features.16.0", "features.16.1"),
        ),
        Naming::Timm => (
            names("conv_stem", "bn1"),
            names("blocks.6.0.conv", "blocks.6.0.bn1"),
        ),
    }
}

/// torchvision numbers the existing parts of a block.
fn torchvision(block: &InvertedResidual, number: usize, part: Part) -> Names {
    let depthwise = usize::from(block.expands());
    let excitation = depthwise + 1;
    let project = excitation + usize::from(block.squeezed.is_some());
    let name = |place: usize, part: &str| format!("features.{number}.block.{place}.{part}");
    let normalised = |place| (name(place, "0"), Some(name(place, "1")));
    match part {
        Part::Expand => normalised(0),
        Part::Depthwise => normalised(depthwise),
        Part::Reduce => (name(excitation, "fc1"), None),
        Part::Excite => (name(excitation, "fc2"), None),
        Part::Project => normalised(project),
    }
}
