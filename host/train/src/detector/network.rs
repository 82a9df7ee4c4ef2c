//! The detector's network: depthwise convolutions on a grey picture, and five maps at each of three
//! strides.
//!
//! In a frame 1920 pixels wide a fluke is 24 to 700 pixels wide, or fills it. Reduced to 640 x 360 the
//! smallest is 8 pixels wide, a cell of the first stride, and the largest is within the receptive field
//! of a cell of the last stride; at 320 x 180 the smallest would be lost. Grey costs a third of colour
//! in the first layer, and many cameras give no more.

use flukewatch_inference::detector::maps::MAPS;
use flukewatch_network::{
    Activation, BatchNorm, Builder, Convolution, Node, NodeId, Op, Padding, Parameter,
    parameters_of,
};
use std::ops::RangeInclusive;

/// Its name in manifests.
pub const ARCHITECTURE: &str = "fluke-detector-2";
/// Height and width of the exported input.
pub const SIZE: (u32, u32) = (360, 640);
/// Stride of each output, in input pixels.
pub const STRIDES: [u32; 3] = [8, 16, 32];

/// Channels of the stem, and at strides 4, 8, 16 and 32.
const CHANNELS: [usize; 5] = [16, 24, 48, 96, 128];

/// A description of the detector.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectorNetwork {
    /// In order of computation.
    pub nodes: Vec<Node>,
    /// The node of each stride's maps, in the order of [`STRIDES`].
    pub outputs: Vec<NodeId>,
}

impl DetectorNetwork {
    /// The only variant.
    pub fn new() -> Self {
        let [stem, quarter, eighth, sixteenth, thirty_second] = CHANNELS;
        let mut net = Layers(Builder::new());
        let mut outputs = vec![];
        net.convolution("stem", [1, stem], 3, 2, 1);
        net.separable("quarter", [stem, quarter], 3, 2);
        net.separable("eighth.0", [quarter, eighth], 3, 2);
        net.residuals("eighth", eighth, 3, 1..=2);
        let features = net.residuals("eighth", eighth, 5, 3..=5);
        net.separable("eighth.head", [eighth, eighth], 3, 1);
        outputs.push(net.maps("eighth.maps", eighth));
        net.separable_on(features, "sixteenth.0", [eighth, sixteenth], 3, 2);
        let features = net.residuals("sixteenth", sixteenth, 5, 1..=4);
        outputs.push(net.maps("sixteenth.maps", sixteenth));
        net.separable_on(
            features,
            "thirty_second.0",
            [sixteenth, thirty_second],
            3,
            2,
        );
        net.residuals("thirty_second", thirty_second, 5, 1..=4);
        outputs.push(net.maps("thirty_second.maps", thirty_second));
        Self {
            nodes: net.0.into_nodes(),
            outputs,
        }
    }

    /// Every parameter, in order of computation.
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters_of(&self.nodes)
    }
}

impl Default for DetectorNetwork {
    fn default() -> Self {
        Self::new()
    }
}

struct Layers(Builder);

impl Layers {
    fn add(
        &mut self,
        from: NodeId,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> NodeId {
        let convolution = Convolution {
            name: name.to_owned(),
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding: Padding::Symmetric(kernel / 2),
            norm: Some(BatchNorm {
                name: format!("{name}.norm"),
                channels: outputs,
                epsilon: 1e-3,
                momentum: 0.05,
            }),
        };
        self.0.add(Op::Convolution(convolution), &[from])
    }

    fn relu(&mut self) -> NodeId {
        self.0.then(Op::Activation(Activation::Relu))
    }

    fn convolution(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> NodeId {
        let last = self.0.last();
        self.add(last, name, channels, kernel, stride, groups);
        self.relu()
    }

    /// Depthwise, then pointwise.
    fn separable(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> NodeId {
        let last = self.0.last();
        self.separable_on(last, name, channels, kernel, stride)
    }

    fn separable_on(
        &mut self,
        from: NodeId,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> NodeId {
        let depth = format!("{name}.depth");
        self.add(from, &depth, [inputs; 2], kernel, stride, inputs);
        self.relu();
        self.convolution(&format!("{name}.point"), [inputs, outputs], 1, 1, 1)
    }

    /// Separable layers with these numbers, each added to its input.
    fn residuals(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        numbers: RangeInclusive<usize>,
    ) -> NodeId {
        for i in numbers {
            let skip = self.0.last();
            let layer = self.separable(&format!("{name}.{i}"), [channels; 2], kernel, 1);
            self.0.add(Op::Add, &[layer, skip]);
        }
        self.0.last()
    }

    fn maps(&mut self, name: &str, channels: usize) -> NodeId {
        self.0.then(Op::Convolution(Convolution {
            name: name.to_owned(),
            inputs: channels,
            outputs: MAPS,
            kernel: 1,
            stride: 1,
            groups: 1,
            padding: Padding::Symmetric(0),
            norm: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_inference::detector::maps::levels;
    use flukewatch_network::shapes_of;

    #[test]
    fn its_maps_are_those_that_inference_decodes() {
        let network = DetectorNetwork::new();
        for (height, width) in [SIZE, (192, 320)] {
            let shapes = shapes_of(&network.nodes, [1, height as usize, width as usize]);
            let read = levels(width, height, &STRIDES);
            for (output, level) in network.outputs.iter().zip(read) {
                assert_eq!(shapes[*output], [MAPS, level.rows, level.columns]);
            }
        }
        let weights: usize = network
            .parameters()
            .iter()
            .map(|p| p.shape.iter().product::<usize>())
            .sum();
        assert!(weights * 4 < 1_000_000, "{weights} numbers");
    }
}
