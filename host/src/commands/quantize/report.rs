//! The result of a quantisation as text and JSON.

use super::comparison::Comparison;
use super::inaccurate::LeftInFloat;
use super::sensitivity::Sensitivity;
use crate::commands::inspect::verdict;
use flukewatch_onnx::lint::{Finding, Severity};
use flukewatch_onnx::quantize::GptqLayer;
use serde::Serialize;
use std::collections::BTreeMap;

/// A layer that stays in float.
#[derive(Debug, Serialize)]
pub(super) struct FloatLayer {
    pub(super) layer: String,
    pub(super) reason: String,
}

/// The models on photos.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) photos: usize,
    /// Leave-one-out R@1 of the float model; `None` where no whale has two photos.
    pub(super) float_recall_at_1: Option<f64>,
    /// On an engine that computes in int8.
    pub(super) int8: Comparison,
    /// With int8 weights and float activations, as in tract on a boat.
    pub(super) stripped: Comparison,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) out: String,
    /// Size of the float model in bytes, with its batch norms folded.
    pub(super) bytes_before: usize,
    pub(super) bytes: usize,
    pub(super) layers: usize,
    /// Number of layers in int8.
    pub(super) quantised: usize,
    /// Layers in float.
    pub(super) float: Vec<FloatLayer>,
    /// Why some of them stay in float by themselves, if some do.
    pub(super) left_in_float: Option<LeftInFloat>,
    pub(super) norms_folded: usize,
    /// Names of batch norms that were not folded.
    pub(super) norms_left: Vec<String>,
    /// Number of photos that ranges were measured on.
    pub(super) quantisation_photos: usize,
    /// The error of each layer with GPTQ, if it was requested.
    pub(super) gptq: Option<Vec<GptqLayer>>,
    /// The cost of each layer, if it was requested; the most sensitive first.
    pub(super) sensitivity: Option<Vec<Sensitivity>>,
    pub(super) compared: Compared,
    /// Findings by target.
    pub(super) lint: BTreeMap<&'static str, Vec<Finding>>,
}

impl Report {
    /// Whether an engine refuses the model.
    pub(super) fn refused(&self) -> bool {
        let mut findings = self.lint.values().flatten();
        findings.any(|f| f.severity == Severity::Refused)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(layers) = &self.sensitivity {
            text += &sensitivity_table(layers);
        }
        text += &format!(
            "{} of {} layers in int8, ranges measured on {} photos\n",
            self.quantised, self.layers, self.quantisation_photos
        );
        for float in &self.float {
            text += &format!("  in float: {} ({})\n", float.layer, float.reason);
        }
        if let Some(left) = &self.left_in_float {
            text += &left_text(left);
        }
        if self.norms_folded > 0 || !self.norms_left.is_empty() {
            text += &format!("{} batch norm(s) folded", self.norms_folded);
            if !self.norms_left.is_empty() {
                text += &format!("; in float: {}", self.norms_left.join(", "));
            }
            text.push('\n');
        }
        if let Some(layers) = &self.gptq {
            text += &gptq_text(layers);
        }
        text += &comparison_table(&self.compared);
        for (target, findings) in &self.lint {
            text += &format!("{target}: {}\n", verdict(findings));
            for finding in findings {
                text += &format!("  {finding}\n");
            }
        }
        text += &format!(
            "wrote {}: model {} bytes, {} in float\n",
            self.out, self.bytes, self.bytes_before
        );
        text
    }
}

fn left_text(left: &LeftInFloat) -> String {
    let hint = if left.after < left.minimum {
        "; too inaccurate still: try --gptq, or name more layers with --keep-float"
    } else {
        ""
    };
    format!(
        "mean cosine {:.4} with all of them in int8, expected {} or more: {} layer(s) left in float, {:.4} with these{hint} \
         ('--keep-float 0' keeps none in float)\n",
        left.before,
        left.minimum,
        left.layers.len(),
        left.after
    )
}

fn figure(recall: Option<f64>) -> String {
    recall.map_or("    -".into(), |r| format!("{r:.3}"))
}

fn sensitivity_table(layers: &[Sensitivity]) -> String {
    let wide = layers.iter().map(|l| l.layer.len()).max().unwrap_or(0);
    let wide = wide.max("layer alone in int8".len());
    let head = "layer alone in int8";
    let mut text = format!("{head:wide$}  operator  mean cosine  lowest   R@1 lost\n");
    for l in layers {
        let lost = l.recall_lost.map_or("-".into(), |r| format!("{r:+.3}"));
        text += &format!(
            "{:wide$}  {:<8}  {:<11.5}  {:<7.5}  {lost}\n",
            l.layer, l.operator, l.mean, l.lowest
        );
    }
    text
}

fn gptq_text(layers: &[GptqLayer]) -> String {
    let mean =
        |of: fn(&GptqLayer) -> f64| layers.iter().map(of).sum::<f64>() / layers.len().max(1) as f64;
    format!(
        "GPTQ on {} layer(s): mean output error {:.3} % of the variance, rounding to the nearest {:.3} %\n",
        layers.len(),
        100.0 * mean(|l| l.gptq),
        100.0 * mean(|l| l.nearest)
    )
}

fn comparison_table(compared: &Compared) -> String {
    let mut text = format!(
        "on {} photos                          mean cosine  lowest   R@1\n",
        compared.photos
    );
    text += &format!(
        "float                                   1            1        {}\n",
        figure(compared.float_recall_at_1)
    );
    for (name, c) in [
        ("int8 (TensorRT)", &compared.int8),
        (
            "int8 weights, float activations (tract)",
            &compared.stripped,
        ),
    ] {
        text += &format!(
            "{name:<39} {:<11.5}  {:<7.5}  {}\n",
            c.mean,
            c.lowest,
            figure(c.recall_at_1)
        );
    }
    text
}
