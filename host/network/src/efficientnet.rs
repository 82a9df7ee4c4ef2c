//! EfficientNet-Lite (Tan & Le 2019; the Lite variants drop squeeze-and-excitation and swish, for
//! integer engines), with the parameter names of the `efficientnet-lite-pytorch` packages or timm's
//! (`tf_efficientnet_lite0` and so on).

use super::inverted_residual::{InvertedResidual, Names, Part, Style, multiple_of_8};
use super::spec::Naming;
use super::spec::Spec;
use super::{Activation, Builder, Op};

const fn spec(name: &'static str, build: fn(&mut Builder, usize, Naming) -> usize) -> Spec {
    Spec {
        name,
        normalisation: ([127.0; 3], [128.0; 3]),
        namings: &[
            (Naming::Native, "efficientnet-lite-pytorch names"),
            (Naming::Timm, "timm names"),
        ],
        build,
    }
}

pub(super) static LITE0: Spec = spec("efficientnet-lite0", |net, channels, naming| {
    lite(
        net,
        channels,
        Size {
            width: 1.0,
            depth: 1.0,
        },
        naming,
    )
});
pub(super) static LITE1: Spec = spec("efficientnet-lite1", |net, channels, naming| {
    lite(
        net,
        channels,
        Size {
            width: 1.0,
            depth: 1.1,
        },
        naming,
    )
});
pub(super) static LITE2: Spec = spec("efficientnet-lite2", |net, channels, naming| {
    lite(
        net,
        channels,
        Size {
            width: 1.1,
            depth: 1.2,
        },
        naming,
    )
});

/// Factors on the channels and repeats of Lite0.
struct Size {
    width: f64,
    depth: f64,
}

/// The momentum is timm's: in a short training, the 0.01 of the original packages would leave the
/// statistics behind the weights.
const STYLE: Style = Style {
    same_padding: true,
    epsilon: 1e-3,
    momentum: 0.1,
};

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

/// All sizes share the widths of stem and features and the depth of the first and last stage.
fn lite(net: &mut Builder, channels: usize, size: Size, naming: Naming) -> usize {
    let relu6 = || Op::Activation(Activation::Relu6);
    let (stem, last) = ends(naming);
    net.enter(0);
    net.then(STYLE.convolution(stem, [channels, 32], 3, 2, 1));
    net.then(relu6());
    let (mut width, mut block) = (32, 0);
    for (stage, (repeats, kernel, first_stride, expansion, outputs)) in
        STAGES.into_iter().enumerate()
    {
        let outputs = multiple_of_8(outputs as f64 * size.width);
        let repeats = if stage == 0 || stage == STAGES.len() - 1 {
            repeats
        } else {
            (repeats as f64 * size.depth).ceil() as usize
        };
        for repeat in 0..repeats {
            net.enter(block + 1);
            let residual = InvertedResidual {
                inputs: width,
                expanded: width * expansion,
                outputs,
                kernel,
                stride: if repeat == 0 { first_stride } else { 1 },
                squeezed: None,
                activation: Activation::Relu6,
            };
            residual.add(net, STYLE, |part| match naming {
                Naming::Native => native(block, part),
                Naming::Timm => residual.timm_names(stage, repeat, part),
            });
            width = outputs;
            block += 1;
        }
    }
    net.enter(block + 1);
    net.then(STYLE.convolution(last, [width, 1280], 1, 1, 1));
    net.then(relu6());
    1280
}

/// The names of the first and the last convolution.
fn ends(naming: Naming) -> (Names, Names) {
    let names = |convolution: &str, norm: &str| (convolution.to_owned(), Some(norm.to_owned()));
    match naming {
        Naming::Native => (names("_conv_stem", "_bn0"), names("_conv_head", "_bn1")),
        Naming::Timm => (names("conv_stem", "bn1"), names("conv_head", "bn2")),
    }
}

fn native(block: usize, part: Part) -> Names {
    let (convolution, norm) = match part {
        Part::Expand => ("_expand_conv", "_bn0"),
        Part::Depthwise => ("_depthwise_conv", "_bn1"),
        // Lite has neither.
        Part::Reduce => return (format!("_blocks.{block}._se_reduce"), None),
        Part::Excite => return (format!("_blocks.{block}._se_expand"), None),
        Part::Project => ("_project_conv", "_bn2"),
    };
    let name = |part: &str| format!("_blocks.{block}.{part}");
    (name(convolution), Some(name(norm)))
}

#[cfg(test)]
mod tests {
    use crate::head::Head;
    use crate::{Backbone, Network, Op, Pooling};

    /// Channels out of each block, by the paper's rules worked by hand.
    #[test]
    fn lite2_is_wider_and_deeper() {
        let head = Head {
            pooling: Pooling::Average,
            dropout: 0.0,
            dimension: 8,
        };
        let net = Network::new(Backbone::EfficientnetLite2, 3, &head);
        let widths: Vec<usize> = net
            .nodes
            .iter()
            .filter_map(|n| match &n.op {
                Op::Convolution(c) if c.name.ends_with("_project_conv") => Some(c.outputs),
                _ => None,
            })
            .collect();
        let expected = [
            (16, 1),
            (24, 3),
            (48, 3),
            (88, 4),
            (120, 4),
            (208, 5),
            (352, 1),
        ];
        let expected: Vec<usize> = expected
            .into_iter()
            .flat_map(|(width, blocks)| vec![width; blocks])
            .collect();
        assert_eq!(widths, expected);
    }
}
