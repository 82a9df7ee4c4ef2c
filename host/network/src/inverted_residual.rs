//! The inverted residual block (Sandler et al. 2018) that EfficientNet-Lite and MobileNetV3 are
//! made of: a 1x1 convolution expands, a depthwise one filters, squeeze-and-excitation weighs the
//! channels, a 1x1 convolution without activation projects, and the input is added where its shape
//! allows.

use super::{Activation, BatchNorm, Builder, Convolution, Op, Padding};

/// A convolution of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// 1x1 to more channels; absent where a block does not expand.
    Expand,
    Depthwise,
    /// First layer of squeeze-and-excitation.
    Reduce,
    /// Second layer of squeeze-and-excitation.
    Excite,
    /// 1x1 to the block's channels.
    Project,
}

/// The prefixes of a convolution's parameters and of those of the normalisation after it; without
/// one it has a bias.
pub(super) type Names = (String, Option<String>);

/// Settings shared by the convolutions of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// TensorFlow's SAME padding instead of the same on every side.
    pub(super) same_padding: bool,
    pub(super) epsilon: f64,
    pub(super) momentum: f64,
}

impl Style {
    pub(super) fn convolution(
        self,
        (name, norm): Names,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Op {
        Op::Convolution(Convolution {
            name,
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding: if self.same_padding {
                Padding::Same
            } else {
                Padding::Symmetric(kernel / 2)
            },
            norm: norm.map(|name| BatchNorm {
                name,
                channels: outputs,
                epsilon: self.epsilon,
                momentum: self.momentum,
            }),
        })
    }
}

/// The sizes of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct InvertedResidual {
    /// Input channels.
    pub(super) inputs: usize,
    /// Channels of the depthwise convolution.
    pub(super) expanded: usize,
    /// Output channels.
    pub(super) outputs: usize,
    /// Of the depthwise convolution, as the stride.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// Channels between the two layers of squeeze-and-excitation, if it has them.
    pub(super) squeezed: Option<usize>,
    /// After every convolution but the last.
    pub(super) activation: Activation,
}

impl InvertedResidual {
    /// Whether it has a [`Part::Expand`].
    pub(super) fn expands(&self) -> bool {
        self.expanded != self.inputs
    }

    /// Adds the block after the last node.
    pub(super) fn add(&self, net: &mut Builder, style: Style, names: impl Fn(Part) -> Names) {
        let start = net.last();
        let wide = self.expanded;
        if self.expands() {
            net.then(style.convolution(names(Part::Expand), [self.inputs, wide], 1, 1, 1));
            net.then(Op::Activation(self.activation));
        }
        let depthwise = names(Part::Depthwise);
        net.then(style.convolution(depthwise, [wide; 2], self.kernel, self.stride, wide));
        let filtered = net.then(Op::Activation(self.activation));
        if let Some(squeezed) = self.squeezed {
            net.then(Op::Squeeze);
            net.then(style.convolution(names(Part::Reduce), [wide, squeezed], 1, 1, 1));
            net.then(Op::Activation(Activation::Relu));
            net.then(style.convolution(names(Part::Excite), [squeezed, wide], 1, 1, 1));
            let gate = net.then(Op::Activation(Activation::HardSigmoid));
            net.add(Op::Gate, &[filtered, gate]);
        }
        let end = net.then(style.convolution(names(Part::Project), [wide, self.outputs], 1, 1, 1));
        if self.stride == 1 && self.inputs == self.outputs {
            net.add(Op::Add, &[end, start]);
        }
    }

    /// timm's names; there a block without expansion is a separate class.
    pub(super) fn timm_names(&self, stage: usize, repeat: usize, part: Part) -> Names {
        let (convolution, norm) = match (part, self.expands()) {
            (Part::Expand, _) => ("conv_pw", Some("bn1")),
            (Part::Depthwise, true) => ("conv_dw", Some("bn2")),
            (Part::Depthwise, false) => ("conv_dw", Some("bn1")),
            (Part::Reduce, _) => ("se.conv_reduce", None),
            (Part::Excite, _) => ("se.conv_expand", None),
            (Part::Project, true) => ("conv_pwl", Some("bn3")),
            (Part::Project, false) => ("conv_pw", Some("bn2")),
        };
        let name = |part: &str| format!("blocks.{stage}.{repeat}.{part}");
        (name(convolution), norm.map(name))
    }
}

/// Channels rounded to a multiple of 8, down by at most a tenth.
pub(super) fn multiple_of_8(channels: f64) -> usize {
    let nearest = (((channels + 4.0) / 8.0) as usize * 8).max(8);
    if (nearest as f64) < 0.9 * channels {
        nearest + 8
    } else {
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_down_by_no_more_than_a_tenth() {
        assert_eq!(multiple_of_8(44.0), 48);
        assert_eq!(multiple_of_8(17.6), 16);
        // 16 would be less than nine tenths.
        assert_eq!(multiple_of_8(18.0), 24);
        assert_eq!(multiple_of_8(1.0), 8);
    }
}
