//! Whether a model keeps the rules under which it runs on an engine, and fast, node by node.
//!
//! The form is that of [`crate::export::quantise`]: symmetric int8 by QuantizeLinear and DequantizeLinear, one scale a tensor for
//! activations and one a row for weights, float biases, on inputs and weights of Conv and Gemm and on the skip of a sum, and not
//! between a convolution and its activation.

use super::graph::{DEQUANTIZE, Graph, QUANTIZE, all_zero, floats, integer, name_of};
use super::target::Target;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use prost::Message;
use serde::Serialize;
use std::fmt;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, type_proto};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// The engine does not run the model.
    Refused,
    /// It runs, but slower or less exactly than it could.
    Costly,
}

/// A rule that a model breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The node's name, or that of what it makes; `model` for the whole.
    pub node: String,
    /// Its operator; empty for the whole.
    pub operator: String,
    /// How bad it is.
    pub weight: Weight,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Refused => "refused",
            Weight::Costly => "costly",
        };
        write!(f, "{weight:<8} {}", self.node)?;
        if !self.operator.is_empty() {
            write!(f, " ({})", self.operator)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Holds an ONNX file against an engine; findings in the order of the file's nodes, those of the whole first.
pub fn lint(file: &[u8], target: Target) -> Vec<Finding> {
    let whole = |reason: String| Finding {
        node: "model".into(),
        operator: String::new(),
        weight: Weight::Refused,
        reason,
    };
    let model = match ModelProto::decode(file) {
        Ok(model) => model,
        Err(e) => return vec![whole(format!("this is no readable ONNX file ({e})"))],
    };
    let Some(graph) = &model.graph else {
        return vec![whole("the file holds no graph".into())];
    };
    let mut lint = Lint {
        target,
        graph: Graph::of(graph),
        quantised: graph.node.iter().any(|n| n.op_type == DEQUANTIZE),
        findings: vec![],
    };
    lint.file(&model, graph);
    for node in &graph.node {
        lint.node(node);
    }
    // Running it is the better proof; it tells of one fault only, so that it is asked where nothing else was found.
    if target == Target::Tract
        && !lint.refused()
        && let Err(error) = TractEngine::load(file, TractForm::Stripped)
    {
        lint.findings.push(whole(error.to_string()));
    }
    lint.findings
}

struct Lint<'a> {
    target: Target,
    graph: Graph<'a>,
    quantised: bool,
    findings: Vec<Finding>,
}

impl Lint<'_> {
    fn refused(&self) -> bool {
        self.findings.iter().any(|f| f.weight == Weight::Refused)
    }

    fn of_whole(&mut self, weight: Weight, reason: String) {
        self.findings.push(Finding {
            node: "model".into(),
            operator: String::new(),
            weight,
            reason,
        });
    }

    fn at(&mut self, node: &NodeProto, weight: Weight, reason: impl Into<String>) {
        self.findings.push(Finding {
            node: name_of(node),
            operator: node.op_type.clone(),
            weight,
            reason: reason.into(),
        });
    }

    fn file(&mut self, model: &ModelProto, graph: &GraphProto) {
        let opset = model
            .opset_import
            .iter()
            .find(|o| is_standard(&o.domain))
            .map_or(1, |o| o.version);
        if let Some(known) = self.target.opsets().filter(|known| !known.contains(&opset)) {
            let (from, to) = known.into_inner();
            let reason = format!(
                "it uses operator set {opset}, {} reads {from} to {to}: export it with one of these",
                self.target.name()
            );
            self.of_whole(Weight::Refused, reason);
        }
        let outside = |t: &&tract_onnx::pb::TensorProto| {
            t.data_location == Some(DataLocation::External as i32)
        };
        if let Some(t) = graph.initializer.iter().find(outside) {
            let reason = format!(
                "its weights ('{}' and perhaps others) lie in a file of their own, and a bundle holds one: save it with its weights inside",
                t.name
            );
            self.of_whole(Weight::Refused, reason);
        }
        for input in &graph.input {
            if self.graph.constant(&input.name).is_none() && batch(input) != Some(1) {
                let reason = format!(
                    "the batch of '{}' is not fixed to 1: the boat embeds one picture at a time, and tract is several times slower with an open one",
                    input.name
                );
                self.of_whole(Weight::Costly, reason);
            }
        }
    }

    fn node(&mut self, node: &NodeProto) {
        let operator = node.op_type.as_str();
        if !is_standard(&node.domain) {
            let reason = format!("operators of '{}' are not standard ONNX", node.domain);
            return self.at(node, Weight::Refused, reason);
        }
        if self.target.refuses(operator) {
            let instead = match operator {
                "QLinearConv"
                | "QLinearMatMul"
                | "ConvInteger"
                | "MatMulInteger"
                | "DynamicQuantizeLinear" => {
                    ": quantise with QuantizeLinear and DequantizeLinear instead"
                }
                _ => "",
            };
            let reason = format!(
                "{} does not take this operator{instead}",
                self.target.name()
            );
            return self.at(node, Weight::Refused, reason);
        }
        let holds_graph =
            |a: &tract_onnx::pb::AttributeProto| a.g.is_some() || !a.graphs.is_empty();
        if self.target == Target::Tract && node.attribute.iter().any(holds_graph) {
            return self.at(node, Weight::Refused, "it holds a graph of its own");
        }
        match operator {
            QUANTIZE => self.quantize(node),
            DEQUANTIZE => self.dequantize(node),
            "Conv" | "Gemm" => self.layer(node),
            "Add" => self.sum(node),
            "BatchNormalization"
                if self.quantised && self.graph.made_by(node, 0, "Conv").is_some() =>
            {
                let reason = "its convolution is quantised without it: fold it into the convolution's weights first";
                self.at(node, Weight::Costly, reason);
            }
            "LpNormalization" if self.graph.made_by(node, 0, DEQUANTIZE).is_some() => {
                let reason =
                    "what is normalised was rounded to int8: leave the embedding itself in float";
                self.at(node, Weight::Costly, reason);
            }
            _ => {}
        }
    }

    /// Scale and zero point of a QuantizeLinear or DequantizeLinear; the number of scales, where they are sound.
    fn steps(&mut self, node: &NodeProto) -> Option<usize> {
        let constant = |i: usize| {
            let name = node.input.get(i).filter(|n| !n.is_empty())?;
            Some((name, self.graph.constant(name)))
        };
        let Some((_, Some(scale))) = constant(1) else {
            self.at(node, Weight::Refused, "its scale is not a constant");
            return None;
        };
        let Some(scales) = floats(scale) else {
            self.at(node, Weight::Refused, "its scale is not of 32-bit floats");
            return None;
        };
        let zero = constant(2);
        if scales.is_empty() || !scales.iter().all(|s| s.is_finite() && *s > 0.0) {
            self.at(
                node,
                Weight::Refused,
                "its scale is not above zero everywhere",
            );
            return None;
        }
        if self.target.is_tensorrt() {
            match zero {
                Some((_, None)) => {
                    self.at(node, Weight::Refused, "its zero point is not a constant");
                }
                Some((_, Some(zero))) if !all_zero(zero) => {
                    let reason = "its zero point is not 0: quantise symmetrically";
                    self.at(node, Weight::Refused, reason);
                }
                Some((_, Some(zero))) if zero.data_type == DataType::Uint8 as i32 => {
                    let reason = "it quantises to uint8: quantise to int8";
                    self.at(node, Weight::Refused, reason);
                }
                // Without a zero point, ONNX quantises to uint8.
                None if node.op_type == QUANTIZE => {
                    let reason =
                        "without a zero point it quantises to uint8: give it one of int8, 0";
                    self.at(node, Weight::Refused, reason);
                }
                _ => {}
            }
        }
        Some(scales.len())
    }

    fn quantize(&mut self, node: &NodeProto) {
        let scales = self.steps(node);
        if self.target.is_tensorrt() && scales.is_some_and(|n| n > 1) {
            let reason =
                "an activation with a scale for each channel: use one scale for the tensor";
            self.at(node, Weight::Refused, reason);
        }
        let output = node.output.first().map_or("", String::as_str);
        let readers = self.graph.readers(output).to_vec();
        if readers.is_empty() || readers.iter().any(|n| n.op_type != DEQUANTIZE) {
            let reason = "something other than DequantizeLinear reads it: quantise in pairs";
            self.at(node, Weight::Refused, reason);
        }
        let from = node.input.first().map_or("", String::as_str);
        let layer = ["Conv", "Gemm"]
            .iter()
            .any(|op| self.graph.made_by(node, 0, op).is_some());
        let activated = readers.iter().any(|dequantize| {
            let back = dequantize.output.first().map_or("", String::as_str);
            let activation = |n: &&NodeProto| ["Relu", "Clip"].contains(&n.op_type.as_str());
            self.graph.readers(back).iter().any(activation)
        });
        if layer && activated {
            let reason = format!(
                "it rounds '{from}' between a layer and its activation, which can then not run as one: quantise after the activation"
            );
            self.at(node, Weight::Costly, reason);
        }
    }

    fn dequantize(&mut self, node: &NodeProto) {
        let scales = self.steps(node);
        let of = node.input.first().map_or("", String::as_str);
        if self.graph.constant(of).is_some() {
            let axis = integer(node, "axis").unwrap_or(1);
            if self.target.is_tensorrt() && scales.is_some_and(|n| n > 1) && axis != 0 {
                let reason = format!(
                    "weights with scales along axis {axis}: use one scale for each output channel, axis 0"
                );
                self.at(node, Weight::Refused, reason);
            }
        } else if self.graph.made_by(node, 0, QUANTIZE).is_none() {
            let reason = "its input is neither a constant nor made by QuantizeLinear";
            self.at(node, Weight::Refused, reason);
        }
    }

    fn layer(&mut self, node: &NodeProto) {
        if self.graph.made_by(node, 2, DEQUANTIZE).is_some() && self.target.is_tensorrt() {
            let reason = "its bias is quantised: keep it in float";
            self.at(node, Weight::Refused, reason);
        }
        let read = |i| self.graph.made_by(node, i, DEQUANTIZE).is_some();
        match (read(0), read(1)) {
            (true, false) => {
                let reason = "its input is quantised and its weight is not: it runs in float";
                self.at(node, Weight::Costly, reason);
            }
            (false, true) => {
                let reason = "its weight is quantised and its input is not: it runs in float";
                self.at(node, Weight::Costly, reason);
            }
            _ => {}
        }
    }

    /// A residual sum: TensorRT runs it with the convolution before it if the other summand is quantised.
    fn sum(&mut self, node: &NodeProto) {
        let quantised_layer = |tensor: &String| {
            self.graph.maker(tensor).is_some_and(|n| {
                n.op_type == "Conv" && self.graph.made_by(n, 1, DEQUANTIZE).is_some()
            })
        };
        let dequantised = (0..2).any(|i| self.graph.made_by(node, i, DEQUANTIZE).is_some());
        let of_two = node.input.iter().all(|i| self.graph.constant(i).is_none());
        if of_two && !dequantised && node.input.iter().any(quantised_layer) {
            let reason = "the skip of this sum is not quantised: it runs apart from its convolution, in float";
            self.at(node, Weight::Costly, reason);
        }
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The first size of an input, where it is fixed.
fn batch(input: &tract_onnx::pb::ValueInfoProto) -> Option<i64> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    match tensor.shape.as_ref()?.dim.first()?.value.as_ref()? {
        Value::DimValue(n) => Some(*n),
        Value::DimParam(_) => None,
    }
}

#[cfg(test)]
mod tests;
