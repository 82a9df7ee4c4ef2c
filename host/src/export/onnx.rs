//! ONNX, written from Rust: opset 17, fixed batch of 1.

use super::fold::{Folded, Kind, Step};
use crate::network::Activation;
use crate::network::weights::Values;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

/// The operator set of every exported model.
pub const OPSET: i64 = 17;
/// The name of the image.
pub const INPUT: &str = "image";
/// The name of the embedding.
pub const OUTPUT: &str = "embedding";

/// The name of a step's output.
pub fn name_of(step: usize) -> String {
    if step == 0 {
        INPUT.to_owned()
    } else {
        format!("step{step}")
    }
}

/// How the inputs and weights of a step are written; quantisation wraps both.
pub trait Wrap {
    /// Says which step comes next.
    fn enter(&mut self, _: &Step) {}
    /// The name under which `tensor`, a step's output, is read by a convolution, a matrix or as the skip of a sum.
    fn activation(&mut self, graph: &mut GraphProto, tensor: &str) -> String;
    /// Adds a weight, one scale for each of its rows if it is quantised, and returns the name to read it by.
    fn weight(&mut self, graph: &mut GraphProto, name: &str, values: &Values) -> String;
}

/// Plain floats.
pub struct Float;

impl Wrap for Float {
    fn activation(&mut self, _: &mut GraphProto, tensor: &str) -> String {
        tensor.to_owned()
    }

    fn weight(&mut self, graph: &mut GraphProto, name: &str, values: &Values) -> String {
        graph
            .initializer
            .push(floats(name, &values.shape, &values.data));
        name.to_owned()
    }
}

/// The network in floats.
pub fn write(folded: &Folded) -> ModelProto {
    write_with(folded, &mut Float)
}

/// The network with its tensors wrapped.
pub fn write_with(folded: &Folded, wrap: &mut impl Wrap) -> ModelProto {
    let mut graph = GraphProto {
        name: "flukewatch".into(),
        ..GraphProto::default()
    };
    let [c, h, w] = folded.input;
    graph.input.push(value_info(INPUT, &[1, c, h, w]));
    for (id, step) in folded.steps.iter().enumerate().skip(1) {
        add_step(&mut graph, id, step, wrap);
    }
    let last = name_of(folded.steps.len() - 1);
    normalise(&mut graph, &last, folded);
    graph
        .output
        .push(value_info(OUTPUT, &[1, folded.dimension]));
    model(graph)
}

/// A network in floats whose output is the maps of the steps `outputs`, each row by row, one after another: `[1, numbers]` under
/// the name `output`.
pub fn write_maps(
    steps: &[Step],
    input: [usize; 3],
    outputs: &[usize],
    numbers: usize,
    output: &str,
) -> ModelProto {
    let mut graph = GraphProto {
        name: "flukewatch".into(),
        ..GraphProto::default()
    };
    let [c, h, w] = input;
    graph.input.push(value_info(INPUT, &[1, c, h, w]));
    for (id, step) in steps.iter().enumerate().skip(1) {
        add_step(&mut graph, id, step, &mut Float);
    }
    let flat: Vec<String> = outputs
        .iter()
        .map(|&id| format!("{}.flat", name_of(id)))
        .collect();
    for (&id, flat) in outputs.iter().zip(&flat) {
        let axis = vec![integer("axis", 1)];
        graph
            .node
            .push(node("Flatten", flat, &[&name_of(id)], flat, axis));
    }
    let names: Vec<&str> = flat.iter().map(String::as_str).collect();
    let axis = vec![integer("axis", 1)];
    graph
        .node
        .push(node("Concat", "join", &names, output, axis));
    graph.output.push(value_info(output, &[1, numbers]));
    model(graph)
}

/// A file of [`OPSET`] with this graph.
pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        producer_name: "flukewatch".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// The embedding of length 1: as a whole, or slice by slice and then divided by the root of their number, so that a dot product
/// is the mean of the slices' cosines.
fn normalise(graph: &mut GraphProto, last: &str, folded: &Folded) {
    let lengths = |input: &str, output: &str| {
        let attributes = vec![integer("axis", 1), integer("p", 2)];
        node("LpNormalization", "normalise", &[input], output, attributes)
    };
    let slices = folded.slices;
    if slices == 1 {
        graph.node.push(lengths(last, OUTPUT));
        return;
    }
    for (name, shape) in [
        ("slices.shape", [slices as i64, -1]),
        ("whole.shape", [1, folded.dimension as i64]),
    ] {
        graph.initializer.push(integers64(name, &shape));
    }
    let root = 1.0 / (slices as f32).sqrt();
    graph.initializer.push(floats("slices.root", &[], &[root]));
    let reshape = |input: &str, shape: &str, output: &str| {
        node("Reshape", output, &[input, shape], output, vec![])
    };
    graph.node.push(reshape(last, "slices.shape", "slices"));
    graph.node.push(lengths("slices", "slices.normalised"));
    graph
        .node
        .push(reshape("slices.normalised", "whole.shape", "slices.joined"));
    let inputs = ["slices.joined", "slices.root"];
    graph
        .node
        .push(node("Mul", "scale", &inputs, OUTPUT, vec![]));
}

fn add_step(graph: &mut GraphProto, id: usize, step: &Step, wrap: &mut impl Wrap) {
    let name = name_of(id);
    let input = |i: usize| name_of(step.inputs[i]);
    wrap.enter(step);
    match &step.kind {
        Kind::Input => {}
        Kind::Convolution {
            weight,
            bias,
            stride,
            groups,
            pads,
            ..
        } => {
            let x = wrap.activation(graph, &input(0));
            let w = wrap.weight(graph, &format!("{name}.weight"), weight);
            let b = format!("{name}.bias");
            graph.initializer.push(floats(&b, &bias.shape, &bias.data));
            let kernel = weight.shape[2];
            let attributes = vec![
                integers("kernel_shape", &[kernel, kernel]),
                integers("strides", &[*stride, *stride]),
                integers("pads", pads),
                integer("group", *groups as i64),
            ];
            graph
                .node
                .push(node("Conv", &name, &[&x, &w, &b], &name, attributes));
        }
        Kind::Activation(Activation::Relu) => {
            graph
                .node
                .push(node("Relu", &name, &[&input(0)], &name, vec![]))
        }
        Kind::Activation(Activation::Relu6) => {
            let (low, high) = (constant(graph, "zero", 0.0), constant(graph, "six", 6.0));
            graph.node.push(node(
                "Clip",
                &name,
                &[&input(0), &low, &high],
                &name,
                vec![],
            ));
        }
        Kind::Activation(Activation::HardSwish) => {
            graph
                .node
                .push(node("HardSwish", &name, &[&input(0)], &name, vec![]))
        }
        Kind::Activation(Activation::HardSigmoid) => {
            // The slope must be said: by default it is 0.2.
            let attributes = vec![real("alpha", 1.0 / 6.0), real("beta", 0.5)];
            graph
                .node
                .push(node("HardSigmoid", &name, &[&input(0)], &name, attributes));
        }
        Kind::Squeeze => graph.node.push(node(
            "GlobalAveragePool",
            &name,
            &[&input(0)],
            &name,
            vec![],
        )),
        Kind::Gate => graph
            .node
            .push(node("Mul", &name, &[&input(0), &input(1)], &name, vec![])),
        Kind::Add => {
            let skip = wrap.activation(graph, &input(1));
            graph
                .node
                .push(node("Add", &name, &[&input(0), &skip], &name, vec![]));
        }
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
            graph
                .node
                .push(node("MaxPool", &name, &[&input(0)], &name, attributes));
        }
        Kind::Pool(exponent) => {
            let (pooled, mut source) = (format!("{name}.pooled"), input(0));
            if let Some(p) = exponent {
                let (floor, power) = (
                    constant(graph, "gem.floor", 1e-6),
                    constant(graph, "gem.p", *p),
                );
                let (clipped, raised) = (format!("{name}.clipped"), format!("{name}.raised"));
                graph
                    .node
                    .push(node("Clip", &clipped, &[&source, &floor], &clipped, vec![]));
                graph
                    .node
                    .push(node("Pow", &raised, &[&clipped, &power], &raised, vec![]));
                source = raised;
            }
            graph.node.push(node(
                "GlobalAveragePool",
                &pooled,
                &[&source],
                &pooled,
                vec![],
            ));
            source = pooled;
            if let Some(p) = exponent {
                let (root, rooted) = (
                    constant(graph, "gem.root", 1.0 / p),
                    format!("{name}.rooted"),
                );
                graph
                    .node
                    .push(node("Pow", &rooted, &[&source, &root], &rooted, vec![]));
                source = rooted;
            }
            graph.node.push(node(
                "Flatten",
                &name,
                &[&source],
                &name,
                vec![integer("axis", 1)],
            ));
        }
        Kind::Affine { scale, shift } => {
            let scaled = format!("{name}.scaled");
            let [by, plus] = [("by", scale), ("plus", shift)].map(|(part, values)| {
                let constant = format!("{name}.{part}");
                graph
                    .initializer
                    .push(floats(&constant, &values.shape, &values.data));
                constant
            });
            graph
                .node
                .push(node("Mul", &scaled, &[&input(0), &by], &scaled, vec![]));
            graph
                .node
                .push(node("Add", &name, &[&scaled, &plus], &name, vec![]));
        }
        Kind::Linear { weight, bias } => {
            let x = wrap.activation(graph, &input(0));
            let w = wrap.weight(graph, &format!("{name}.weight"), weight);
            let b = format!("{name}.bias");
            graph.initializer.push(floats(&b, &bias.shape, &bias.data));
            graph.node.push(node(
                "Gemm",
                &name,
                &[&x, &w, &b],
                &name,
                vec![integer("transB", 1)],
            ));
        }
    }
}

/// A scalar that several nodes may share.
fn constant(graph: &mut GraphProto, name: &str, value: f32) -> String {
    if !graph.initializer.iter().any(|t| t.name == name) {
        graph.initializer.push(floats(name, &[], &[value]));
    }
    name.to_owned()
}

/// A node with one output.
pub fn node(
    op: &str,
    name: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: name.into(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// A whole number as an attribute.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}

/// A float as an attribute.
pub fn real(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float as i32,
        f: value,
        ..AttributeProto::default()
    }
}

/// Several whole numbers as an attribute.
pub fn integers(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|&v| v as i64).collect(),
        ..AttributeProto::default()
    }
}

/// A constant of floats.
pub fn floats(name: &str, shape: &[usize], data: &[f32]) -> TensorProto {
    constant_tensor(
        name,
        shape,
        DataType::Float,
        data.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// A constant of 64-bit integers, such as a shape.
pub fn integers64(name: &str, data: &[i64]) -> TensorProto {
    constant_tensor(
        name,
        &[data.len()],
        DataType::Int64,
        data.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// A constant of signed bytes.
pub fn bytes(name: &str, shape: &[usize], data: &[i8]) -> TensorProto {
    constant_tensor(
        name,
        shape,
        DataType::Int8,
        data.iter().map(|&v| v as u8).collect(),
    )
}

fn constant_tensor(
    name: &str,
    shape: &[usize],
    data_type: DataType,
    raw_data: Vec<u8>,
) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|&d| d as i64).collect(),
        data_type: data_type as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// The name and shape of a graph's input or output.
pub fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|&d| Dimension {
            value: Some(dimension::Value::DimValue(d as i64)),
            ..Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim }),
    };
    let r#type = TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..TypeProto::default()
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(r#type),
        ..ValueInfoProto::default()
    }
}
