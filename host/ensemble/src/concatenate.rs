//! Several bundles as one.

use super::features::embed;
use super::merge::merge;
use anyhow::bail;
use flukewatch_common::bundle::{
    Bundle, MAX_PART, ModelInfo, NewBundle, Precision, TrainingSet, View,
};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::enrol::{self, fit_rule};
use flukewatch_eval::protocols::leave_one_out::{self, RetrievalSummary};
use flukewatch_eval::training_overlap::TrainingOverlap;
use flukewatch_inference::golden::golden;
use serde::Serialize;

pub use super::merge::check_alike;

/// The retrieval of one bundle.
#[derive(Debug, Serialize)]
pub struct BundleRetrieval {
    /// The bundle's name; `together` for all of them.
    pub bundle: String,
    /// Metrics of retrieval, leave one out.
    #[serde(flatten)]
    pub found: RetrievalSummary,
    /// What its model was trained on of the photos; `None` if that is unknown or was not compared.
    pub training_overlap: Option<TrainingOverlap>,
}

/// The retrieval of each bundle and of all together on labelled photos, leave one out, and the
/// decision rule fitted on these. `None` where no whale has two photos.
///
/// # Errors
/// When a photo cannot be used.
pub fn evaluate(
    bundles: &[Bundle],
    weights: &[f32],
    photos: &[LabelledPhoto],
    quiet: bool,
) -> anyhow::Result<Option<(Vec<BundleRetrieval>, DecisionRule)>> {
    let (joined, alone) = embed(bundles, weights, photos, quiet)?;
    let catalogue_of = |embeddings: &[Embedding]| {
        let dimension = embeddings.first().map_or(0, Embedding::dimension);
        // Concatenated embeddings are not in two halves, so mirrored copies are found by pixels alone.
        enrol::catalogue_of(dimension, photos, embeddings, &[View::Plain])
    };
    let names = bundles.iter().map(|b| b.manifest.name.as_str());
    let mut all = vec![];
    for (name, embeddings) in names.chain(["together"]).zip(alone.iter().chain([&joined])) {
        let Some(found) = leave_one_out::retrieval(&catalogue_of(embeddings)?) else {
            return Ok(None);
        };
        all.push(BundleRetrieval {
            bundle: name.to_owned(),
            found,
            training_overlap: None,
        });
    }
    let unfitted = DecisionRule::unfitted();
    let rule = fit_rule(&catalogue_of(&joined)?, &unfitted);
    Ok(Some((all, rule.unwrap_or(unfitted))))
}

/// The bundles as one, with an empty catalogue. Its embedding of a photo is
/// [`super::features::join`] of theirs.
///
/// # Errors
/// When they prepare photos differently, or the merged model does not run.
pub fn one_bundle(
    bundles: &[Bundle],
    weights: &[f32],
    name: &str,
    created: &str,
    rule: DecisionRule,
) -> anyhow::Result<Bundle> {
    let model = merge(bundles, weights)?;
    let Some(first) = bundles.first().map(|b| &b.manifest) else {
        bail!("no bundles to concatenate");
    };
    if model.len() as u64 > MAX_PART {
        bail!(
            "the merged model has {} bytes, a bundle holds at most {MAX_PART}",
            model.len()
        );
    }
    let field = |of: fn(&ModelInfo) -> String| -> Vec<String> {
        bundles.iter().map(|b| of(&b.manifest.model)).collect()
    };
    let all_int8 = bundles
        .iter()
        .all(|b| b.manifest.model.precision == Precision::Int8);
    let mut trained_on = field(|m| m.trained_on.clone());
    trained_on.dedup();
    let info = ModelInfo {
        architecture: field(|m| m.architecture.clone()).join(" + "),
        precision: if all_int8 {
            Precision::Int8
        } else {
            Precision::F32
        },
        opset: first.model.opset,
        trained_on: trained_on.join("; "),
    };
    let mut card = format!(
        "# {name}\n\nSeveral models side by side; a score is the weighted mean of their scores.\n"
    );
    for (bundle, weight) in bundles.iter().zip(weights) {
        card += &format!(
            "\n## {} (weight {weight}, {:?}, bundle {})\n\n{}\n",
            bundle.manifest.name,
            bundle.manifest.model.precision,
            bundle.id(),
            bundle.card.trim()
        );
    }
    let dimension = bundles.iter().map(|b| b.manifest.dimension).sum();
    let bundle = Bundle::new(NewBundle {
        name,
        created,
        preparation: first.preparation.clone(),
        views: first.views.clone(),
        model_info: info,
        model,
        catalogue: Catalogue::new(dimension),
        decision: rule,
        card,
    })?;
    // A model that does not run must fail here, not on the boat.
    let golden = golden(&bundle)?;
    let detector = bundles.iter().find_map(|b| b.detector_part());
    // Unknown for the whole if it is unknown for one.
    let training: Option<Vec<TrainingSet>> = bundles.iter().map(|b| b.training.clone()).collect();
    Ok(bundle
        .with_golden(golden)?
        .with_detector(detector)?
        .with_training_set(training.map(TrainingSet::union))?)
}

#[cfg(test)]
mod tests;
