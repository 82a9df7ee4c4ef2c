//! Checks a model node by node: whether an engine runs it, and runs it fast.
//!
//! The expected form is that of [`crate::quantize`]: symmetric int8 by QuantizeLinear and
//! DequantizeLinear, one scale per tensor for activations and one per row for weights, float
//! biases, on inputs and weights of Conv and Gemm and on the skip of a sum, and not between a
//! convolution and its activation.

mod graph;
mod target;

pub use target::Target;

use crate::proto::read::{floats, integer, name_of};
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use graph::{DEQUANTIZE, Graph, QUANTIZE, all_zero};
use prost::Message;
use serde::Serialize;
use std::fmt;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, type_proto};

/// The effect of a broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The engine does not run the model.
    Refused,
    /// The engine runs the model slower or less accurately than it could.
    Costly,
}

/// A rule that a model breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the node or of its output; `model` for the whole model.
    pub node: String,
    /// The operator; empty for the whole model.
    pub operator: String,
    /// The effect on the engine.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Refused => "refused",
            Severity::Costly => "costly",
        };
        write!(f, "{severity:<8} {}", self.node)?;
        if !self.operator.is_empty() {
            write!(f, " ({})", self.operator)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Checks an ONNX file for an engine; findings in the order of the nodes, those of the whole model
/// first.
pub fn lint(file: &[u8], target: Target) -> Vec<Finding> {
    let whole = |reason: String| Finding {
        node: "model".into(),
        operator: String::new(),
        severity: Severity::Refused,
        reason,
    };
    let model = match ModelProto::decode(file) {
        Ok(model) => model,
        Err(e) => return vec![whole(format!("not a readable ONNX file ({e})"))],
    };
    let Some(graph) = &model.graph else {
        return vec![whole("the file has no graph".into())];
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
    // Loading is the most reliable check but reports only one problem, so it is done only if there
    // are no other findings.
    if target == Target::Tract
        && !lint.refused()
        && let Err(error) = TractEngine::load(file, TractForm::Dequantised)
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
        self.findings
            .iter()
            .any(|f| f.severity == Severity::Refused)
    }

    fn whole_model(&mut self, severity: Severity, reason: String) {
        self.findings.push(Finding {
            node: "model".into(),
            operator: String::new(),
            severity,
            reason,
        });
    }

    fn at(&mut self, node: &NodeProto, severity: Severity, reason: impl Into<String>) {
        self.findings.push(Finding {
            node: name_of(node),
            operator: node.op_type.clone(),
            severity,
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
                "operator set {opset}; {} reads {from} to {to}: export the model with one of these",
                self.target.name()
            );
            self.whole_model(Severity::Refused, reason);
        }
        let outside = |t: &&tract_onnx::pb::TensorProto| {
            t.data_location == Some(DataLocation::External as i32)
        };
        if let Some(t) = graph.initializer.iter().find(outside) {
            let reason = format!(
                "weights are in a separate file (e.g. '{}'), which a bundle cannot hold: save the model with its weights inside",
                t.name
            );
            self.whole_model(Severity::Refused, reason);
        }
        for input in &graph.input {
            if self.graph.constant(&input.name).is_none() && batch(input) != Some(1) {
                let reason = format!(
                    "the batch size of '{}' is not fixed to 1: the boat embeds one image at a time, and tract is several times slower with an open batch size",
                    input.name
                );
                self.whole_model(Severity::Costly, reason);
            }
        }
    }

    fn node(&mut self, node: &NodeProto) {
        let operator = node.op_type.as_str();
        if !is_standard(&node.domain) {
            let reason = format!("the domain '{}' is not standard ONNX", node.domain);
            return self.at(node, Severity::Refused, reason);
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
                "{} does not support this operator{instead}",
                self.target.name()
            );
            return self.at(node, Severity::Refused, reason);
        }
        let holds_graph =
            |a: &tract_onnx::pb::AttributeProto| a.g.is_some() || !a.graphs.is_empty();
        if self.target == Target::Tract && node.attribute.iter().any(holds_graph) {
            return self.at(node, Severity::Refused, "it contains a subgraph");
        }
        match operator {
            QUANTIZE => self.quantize(node),
            DEQUANTIZE => self.dequantize(node),
            "Conv" | "Gemm" => self.layer(node),
            "Add" => self.sum(node),
            "BatchNormalization"
                if self.quantised && self.graph.made_by(node, 0, "Conv").is_some() =>
            {
                let reason =
                    "its convolution is quantised without it: fold it into the weights first";
                self.at(node, Severity::Costly, reason);
            }
            "LpNormalization" if self.graph.made_by(node, 0, DEQUANTIZE).is_some() => {
                let reason = "its input is int8: keep the embedding itself in float";
                self.at(node, Severity::Costly, reason);
            }
            _ => {}
        }
    }

    /// Checks scale and zero point of a QuantizeLinear or DequantizeLinear; returns the number of
    /// scales if they are valid.
    fn scales(&mut self, node: &NodeProto) -> Option<usize> {
        let constant = |i: usize| {
            let name = node.input.get(i).filter(|n| !n.is_empty())?;
            Some((name, self.graph.constant(name)))
        };
        let Some((_, Some(scale))) = constant(1) else {
            self.at(node, Severity::Refused, "its scale is not a constant");
            return None;
        };
        let Some(scales) = floats(scale) else {
            self.at(node, Severity::Refused, "its scale is not 32-bit float");
            return None;
        };
        let zero = constant(2);
        if scales.is_empty() || !scales.iter().all(|s| s.is_finite() && *s > 0.0) {
            self.at(
                node,
                Severity::Refused,
                "its scale is not above 0 everywhere",
            );
            return None;
        }
        if self.target.is_tensorrt() {
            match zero {
                Some((_, None)) => {
                    self.at(node, Severity::Refused, "its zero point is not a constant");
                }
                Some((_, Some(zero))) if !all_zero(zero) => {
                    let reason = "its zero point is not 0: quantise symmetrically";
                    self.at(node, Severity::Refused, reason);
                }
                Some((_, Some(zero))) if zero.data_type == DataType::Uint8 as i32 => {
                    let reason = "it quantises to uint8: quantise to int8";
                    self.at(node, Severity::Refused, reason);
                }
                // Without a zero point, ONNX quantises to uint8.
                None if node.op_type == QUANTIZE => {
                    let reason =
                        "without a zero point it quantises to uint8: add an int8 zero point of 0";
                    self.at(node, Severity::Refused, reason);
                }
                _ => {}
            }
        }
        Some(scales.len())
    }

    fn quantize(&mut self, node: &NodeProto) {
        let scales = self.scales(node);
        if self.target.is_tensorrt() && scales.is_some_and(|n| n > 1) {
            let reason = "the activation has one scale per channel: use one scale for the tensor";
            self.at(node, Severity::Refused, reason);
        }
        let output = node.output.first().map_or("", String::as_str);
        let readers = self.graph.readers(output).to_vec();
        if readers.is_empty() || readers.iter().any(|n| n.op_type != DEQUANTIZE) {
            let reason = "its output is not read by DequantizeLinear alone: quantise in pairs";
            self.at(node, Severity::Refused, reason);
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
                "it quantises '{from}' between a layer and its activation, which prevents fusing them: quantise after the activation"
            );
            self.at(node, Severity::Costly, reason);
        }
    }

    fn dequantize(&mut self, node: &NodeProto) {
        let scales = self.scales(node);
        let of = node.input.first().map_or("", String::as_str);
        if self.graph.constant(of).is_some() {
            let axis = integer(node, "axis").unwrap_or(1);
            if self.target.is_tensorrt() && scales.is_some_and(|n| n > 1) && axis != 0 {
                let reason = format!(
                    "the weights have scales along axis {axis}: use one scale per output channel (axis 0)"
                );
                self.at(node, Severity::Refused, reason);
            }
        } else if self.graph.made_by(node, 0, QUANTIZE).is_none() {
            let reason = "its input is neither a constant nor the output of QuantizeLinear";
            self.at(node, Severity::Refused, reason);
        }
    }

    fn layer(&mut self, node: &NodeProto) {
        if self.graph.made_by(node, 2, DEQUANTIZE).is_some() && self.target.is_tensorrt() {
            let reason = "its bias is quantised: keep it in float";
            self.at(node, Severity::Refused, reason);
        }
        let read = |i| self.graph.made_by(node, i, DEQUANTIZE).is_some();
        match (read(0), read(1)) {
            (true, false) => {
                let reason = "its input is quantised but its weight is not: it runs in float";
                self.at(node, Severity::Costly, reason);
            }
            (false, true) => {
                let reason = "its weight is quantised but its input is not: it runs in float";
                self.at(node, Severity::Costly, reason);
            }
            _ => {}
        }
    }

    /// TensorRT fuses a residual sum with the convolution before it if the other summand is
    /// quantised.
    fn sum(&mut self, node: &NodeProto) {
        let quantised_layer = |tensor: &String| {
            self.graph.maker(tensor).is_some_and(|n| {
                n.op_type == "Conv" && self.graph.made_by(n, 1, DEQUANTIZE).is_some()
            })
        };
        let dequantised = (0..2).any(|i| self.graph.made_by(node, i, DEQUANTIZE).is_some());
        let of_two = node.input.iter().all(|i| self.graph.constant(i).is_none());
        if of_two && !dequantised && node.input.iter().any(quantised_layer) {
            let reason = "the skip of this sum is not quantised: the sum is not fused with its convolution and runs in float";
            self.at(node, Severity::Costly, reason);
        }
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The batch size of an input, where it is fixed.
fn batch(input: &tract_onnx::pb::ValueInfoProto) -> Option<i64> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    match tensor.shape.as_ref()?.dim.first()?.value.as_ref()? {
        Value::DimValue(n) => Some(*n),
        Value::DimParam(_) => None,
    }
}

#[cfg(test)]
mod tests;
