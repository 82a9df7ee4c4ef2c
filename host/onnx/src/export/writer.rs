//! Steps as an ONNX graph of floats, for a fixed batch of 1.

use super::folded::{Folded, Kind, Step};
use crate::proto::build::{floats, integer, integers, integers64, model, node, real, value_info};
use flukewatch_network::Activation;
use flukewatch_network::weights::Values;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto};

const INPUT: &str = "image";
const OUTPUT: &str = "embedding";

/// The name of a step's output and of its node.
pub(super) fn tensor(step: usize) -> String {
    if step == 0 {
        INPUT.to_owned()
    } else {
        format!("step{step}")
    }
}

/// From an image to an embedding of length 1.
pub(super) fn embedding_model(folded: &Folded) -> ModelProto {
    let mut graph = Writer::of(&folded.steps, folded.input);
    graph.normalise(&tensor(folded.steps.len() - 1), folded);
    graph.finish(OUTPUT, folded.dimension)
}

/// From an image to the outputs of the steps `outputs`, flattened one after another: `numbers` in
/// all, named `output`.
pub(super) fn maps_model(
    steps: &[Step],
    input: [usize; 3],
    outputs: &[usize],
    numbers: usize,
    output: &str,
) -> ModelProto {
    let mut graph = Writer::of(steps, input);
    let axis = || vec![integer("axis", 1)];
    let mut flat = vec![];
    for &id in outputs {
        let name = format!("{}.flat", tensor(id));
        graph.add("Flatten", &name, &[&tensor(id)], axis());
        flat.push(name);
    }
    let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
    graph
        .0
        .node
        .push(node("Concat", "join", &flat, output, axis()));
    graph.finish(output, numbers)
}

struct Writer(GraphProto);

impl Writer {
    fn of(steps: &[Step], [c, h, w]: [usize; 3]) -> Self {
        let mut writer = Self(GraphProto {
            name: "flukewatch".into(),
            input: vec![value_info(INPUT, &[1, c, h, w])],
            ..GraphProto::default()
        });
        for (id, step) in steps.iter().enumerate().skip(1) {
            writer.step(id, step);
        }
        writer
    }

    fn finish(mut self, output: &str, numbers: usize) -> ModelProto {
        self.0.output.push(value_info(output, &[1, numbers]));
        model(self.0)
    }

    /// A node named like its output.
    fn add(&mut self, op: &str, name: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.0.node.push(node(op, name, inputs, name, attributes));
    }

    fn constant(&mut self, name: String, values: &Values) -> String {
        self.0
            .initializer
            .push(floats(&name, &values.shape, &values.data));
        name
    }

    /// A scalar that several nodes may share.
    fn scalar(&mut self, name: &str, value: f32) -> String {
        if !self.0.initializer.iter().any(|t| t.name == name) {
            self.0.initializer.push(floats(name, &[], &[value]));
        }
        name.to_owned()
    }

    fn step(&mut self, id: usize, step: &Step) {
        let name = tensor(id);
        let inputs: Vec<String> = step.inputs.iter().map(|&i| tensor(i)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        match &step.kind {
            Kind::Input => {}
            Kind::Convolution {
                weight,
                bias,
                stride,
                groups,
                pads,
            } => {
                let kernel = weight.shape[2];
                let attributes = vec![
                    integers("kernel_shape", &[kernel, kernel]),
                    integers("strides", &[*stride, *stride]),
                    integers("pads", pads),
                    integer("group", *groups as i64),
                ];
                self.layer("Conv", &name, inputs[0], [weight, bias], attributes);
            }
            Kind::Linear { weight, bias } => {
                let attributes = vec![integer("transB", 1)];
                self.layer("Gemm", &name, inputs[0], [weight, bias], attributes);
            }
            Kind::Activation(activation) => self.activation(*activation, &name, inputs[0]),
            Kind::Add => self.add("Add", &name, &inputs, vec![]),
            Kind::Squeeze => self.add("GlobalAveragePool", &name, &inputs, vec![]),
            Kind::Gate => self.add("Mul", &name, &inputs, vec![]),
            Kind::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let attributes = vec![
                    integers("kernel_shape", &[*kernel, *kernel]),
                    integers("strides", &[*stride, *stride]),
                    integers("pads", &[*padding; 4]),
                ];
                self.add("MaxPool", &name, &inputs, attributes);
            }
            Kind::Pool(exponent) => self.pool(*exponent, &name, inputs[0]),
            Kind::Affine { scale, shift } => {
                let scaled = format!("{name}.scaled");
                let by = self.constant(format!("{name}.by"), scale);
                let plus = self.constant(format!("{name}.plus"), shift);
                self.add("Mul", &scaled, &[inputs[0], &by], vec![]);
                self.add("Add", &name, &[&scaled, &plus], vec![]);
            }
        }
    }

    fn layer(
        &mut self,
        op: &str,
        name: &str,
        input: &str,
        [weight, bias]: [&Values; 2],
        attributes: Vec<AttributeProto>,
    ) {
        let weight = self.constant(format!("{name}.weight"), weight);
        let bias = self.constant(format!("{name}.bias"), bias);
        self.add(op, name, &[input, &weight, &bias], attributes);
    }

    fn activation(&mut self, activation: Activation, name: &str, input: &str) {
        match activation {
            Activation::Relu => self.add("Relu", name, &[input], vec![]),
            Activation::Relu6 => {
                let (low, high) = (self.scalar("zero", 0.0), self.scalar("six", 6.0));
                self.add("Clip", name, &[input, &low, &high], vec![]);
            }
            Activation::HardSwish => self.add("HardSwish", name, &[input], vec![]),
            Activation::HardSigmoid => {
                // The default alpha is 0.2.
                let attributes = vec![real("alpha", 1.0 / 6.0), real("beta", 0.5)];
                self.add("HardSigmoid", name, &[input], attributes);
            }
        }
    }

    fn pool(&mut self, exponent: Option<f32>, name: &str, input: &str) {
        let [clipped, raised, pooled, rooted] =
            ["clipped", "raised", "pooled", "rooted"].map(|part| format!("{name}.{part}"));
        let vector = match exponent {
            None => {
                self.add("GlobalAveragePool", &pooled, &[input], vec![]);
                pooled
            }
            Some(p) => {
                let floor = self.scalar("gem.floor", 1e-6);
                let power = self.scalar("gem.p", p);
                let root = self.scalar("gem.root", 1.0 / p);
                self.add("Clip", &clipped, &[input, &floor], vec![]);
                self.add("Pow", &raised, &[&clipped, &power], vec![]);
                self.add("GlobalAveragePool", &pooled, &[&raised], vec![]);
                self.add("Pow", &rooted, &[&pooled, &root], vec![]);
                rooted
            }
        };
        self.add("Flatten", name, &[&vector], vec![integer("axis", 1)]);
    }

    /// The embedding of length 1: as a whole, or slice by slice and then divided by the square root
    /// of their number, so that a dot product is the mean of the slices' cosines.
    fn normalise(&mut self, last: &str, folded: &Folded) {
        let unit = |input: &str, output: &str| {
            let attributes = vec![integer("axis", 1), integer("p", 2)];
            node("LpNormalization", "normalise", &[input], output, attributes)
        };
        let slices = folded.slices;
        if slices == 1 {
            self.0.node.push(unit(last, OUTPUT));
            return;
        }
        for (name, shape) in [
            ("slices.shape", [slices as i64, -1]),
            ("whole.shape", [1, folded.dimension as i64]),
        ] {
            self.0.initializer.push(integers64(name, &shape));
        }
        let root = self.scalar("slices.root", 1.0 / (slices as f32).sqrt());
        self.add("Reshape", "slices", &[last, "slices.shape"], vec![]);
        self.0.node.push(unit("slices", "slices.normalised"));
        let inputs = ["slices.normalised", "whole.shape"];
        self.add("Reshape", "slices.joined", &inputs, vec![]);
        let inputs = ["slices.joined", root.as_str()];
        self.0
            .node
            .push(node("Mul", "scale", &inputs, OUTPUT, vec![]));
    }
}
