//! What quantising a model gave, for people and for programs.

use super::compare::Comparison;
use super::correct::Correction;
use super::equalise::Equalised;
use super::round::Rounded;
use super::sensitivity::Sensitivity;
use crate::inspect::lint::{Finding, Weight};
use crate::inspect::target::Target;
use serde::Serialize;
use std::collections::BTreeMap;

/// A layer that stays in float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub layer: String,
    /// Why.
    pub why: String,
}

/// How the embeddings compare on photos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// So many photos.
    pub photos: usize,
    /// R@1 of the float model, leave one out; none where no whale has two photos.
    pub float_recall_at_1: Option<f64>,
    /// With every rounding of the file, as an int8 engine runs it.
    pub int8: Comparison,
    /// With int8 weights and float activations, as tract runs it on a boat.
    pub stripped: Comparison,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The file written.
    pub out: String,
    /// Bytes of the float model in one file, its normalisations folded.
    pub bytes_before: usize,
    /// Bytes of the int8 model's file.
    pub bytes: usize,
    /// Convolutions and matrices.
    pub layers: usize,
    /// Those in int8.
    pub rounded: usize,
    /// The others.
    pub kept: Vec<Kept>,
    /// Normalisations that went into the layer before them.
    pub norms_folded: usize,
    /// Those that stay, in float.
    pub norms_left: Vec<String>,
    /// How ranges were chosen.
    pub calibration: String,
    /// On how many photos.
    pub calibration_photos: usize,
    /// What was equalised, if it was asked.
    pub equalised: Option<Equalised>,
    /// How biases were corrected, if it was asked.
    pub corrected: Option<Vec<Correction>>,
    /// What rounding weights by what they are multiplied with gave, if it was asked.
    pub fitted: Option<Vec<Rounded>>,
    /// What each layer costs, if it was asked; the most costly first.
    pub sensitivity: Option<Vec<Sensitivity>>,
    /// Against the float model.
    pub compared: Compared,
    /// What the lint finds, by target.
    pub lint: BTreeMap<&'static str, Vec<Finding>>,
}

/// Every target that the lint knows.
pub const TARGETS: [Target; 3] = [Target::Tensorrt8, Target::Tensorrt10, Target::Tract];

impl Outcome {
    /// Whether a target does not run the model.
    pub fn refused(&self) -> bool {
        let mut findings = self.lint.values().flatten();
        findings.any(|f| f.weight == Weight::Refused)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(layers) = &self.sensitivity {
            text += &sensitivity_table(layers);
        }
        text += &format!(
            "{} of {} layers in int8, calibrated by {} on {} photos\n",
            self.rounded, self.layers, self.calibration, self.calibration_photos
        );
        for kept in &self.kept {
            text += &format!("  in float: {} ({})\n", kept.layer, kept.why);
        }
        if self.norms_folded > 0 || !self.norms_left.is_empty() {
            text += &format!("{} normalisation(s) folded", self.norms_folded);
            if !self.norms_left.is_empty() {
                text += &format!("; in float: {}", self.norms_left.join(", "));
            }
            text.push('\n');
        }
        if let Some(equalised) = &self.equalised {
            text += &equalised_text(equalised);
        }
        if let Some(corrections) = &self.corrected {
            text += &corrected_text(corrections);
        }
        if let Some(fitted) = &self.fitted {
            text += &fitted_text(fitted);
        }
        text += &comparison_table(&self.compared);
        for (target, findings) in &self.lint {
            let refused = findings.iter().filter(|f| f.weight == Weight::Refused);
            let verdict = match (refused.count(), findings.len()) {
                (0, 0) => "keeps every rule".to_owned(),
                (0, costly) => format!("runs, with {costly} thing(s) that cost"),
                (refused, _) => format!("refused for {refused} reason(s)"),
            };
            text += &format!("{target}: {verdict}\n");
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

fn share(recall: Option<f64>) -> String {
    recall.map_or("    -".into(), |r| format!("{r:.3}"))
}

fn sensitivity_table(layers: &[Sensitivity]) -> String {
    let wide = layers.iter().map(|l| l.layer.len()).max().unwrap_or(0);
    let wide = wide.max("that layer alone in int8".len());
    let head = "that layer alone in int8";
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

fn equalised_text(equalised: &Equalised) -> String {
    let mut text = format!(
        "equalised {} pair(s) of layers in {} round(s)\n",
        equalised.pairs.len(),
        equalised.rounds
    );
    for pair in &equalised.pairs {
        text += &format!(
            "  {} -> {}: factors spread over {:.1}\n",
            pair.first, pair.second, pair.spread
        );
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for skipped in &equalised.skipped {
        reasons
            .entry(&skipped.why)
            .or_default()
            .push(&skipped.layer);
    }
    for (why, layers) in reasons {
        text += &format!("  not after {}: {why}\n", layers.join(", "));
    }
    text
}

fn corrected_text(corrections: &[Correction]) -> String {
    let mut text = format!(
        "corrected the biases of {} layer(s); the farthest moved:\n",
        corrections.len()
    );
    let mut by_share: Vec<&Correction> = corrections.iter().collect();
    by_share.sort_by(|a, b| b.share.total_cmp(&a.share));
    for c in by_share.iter().take(5) {
        text += &format!(
            "  {}: by {:.4} in the mean ({:.1} % of its mean output), {:.4} at most\n",
            c.layer,
            c.mean,
            100.0 * c.share,
            c.largest
        );
    }
    text
}

fn fitted_text(fitted: &[Rounded]) -> String {
    let mean =
        |of: fn(&Rounded) -> f64| fitted.iter().map(of).sum::<f64>() / fitted.len().max(1) as f64;
    format!(
        "rounded the weights of {} layer(s) by what they are multiplied with: on average {:.3} % of an output's variance is lost, to the \
         nearest {:.3} %\n",
        fitted.len(),
        100.0 * mean(|r| r.fitted),
        100.0 * mean(|r| r.nearest)
    )
}

fn comparison_table(compared: &Compared) -> String {
    let mut text = format!(
        "on {} photos                          mean cosine  lowest   R@1\n",
        compared.photos
    );
    text += &format!(
        "float                                   1            1        {}\n",
        share(compared.float_recall_at_1)
    );
    for (name, c) in [
        ("int8, every rounding (as TensorRT)", &compared.int8),
        (
            "int8 weights, float activations (tract)",
            &compared.stripped,
        ),
    ] {
        text += &format!(
            "{name:<39} {:<11.5}  {:<7.5}  {}\n",
            c.mean,
            c.lowest,
            share(c.recall_at_1)
        );
    }
    text
}
