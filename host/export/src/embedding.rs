//! A trained embedding as a bundle.

use crate::training_set::of_record;
use anyhow::bail;
use flukewatch_common::bundle::{Bundle, ModelInfo, NewBundle, Precision, View};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::Dataset;
use flukewatch_eval::embed;
use flukewatch_eval::enrol::{catalogue_of, fit_rule};
use flukewatch_eval::training_overlap::TrainingOverlap;
use flukewatch_inference::golden::golden;
use flukewatch_network::Network;
use flukewatch_onnx::export::{float_model, int8_model};
use flukewatch_onnx::proto::build::OPSET;
use flukewatch_progress::bar;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::phase;
use flukewatch_train::embedding::run_record::RunRecord;
use ndarray::Array3;

/// Photos that quantisation ranges are measured on.
const RANGE_PHOTOS: usize = 256;

/// Settings of an export.
#[derive(Clone, Debug)]
pub struct ExportSettings {
    /// Name of the bundle.
    pub name: String,
    /// 32-bit floats or int8.
    pub precision: Precision,
    /// Embed only the plain view, even if the network was trained with mirrored flukes as identities.
    pub plain: bool,
    /// The model card, a Markdown text; `None` for a short one.
    pub card: Option<String>,
}

/// Exports a checkpoint that is ready [`for_export`](EmbeddingCheckpoint::for_export).
///
/// Int8 ranges are measured on photos of `dataset`. The validation identities of the run's `record` set
/// the thresholds of the decision rule, as far as their photos are in `dataset`; its training identities
/// become the bundle's training set. The catalogue is empty.
///
/// # Errors
/// When the weights do not match the network, or photos cannot be used.
pub fn export(
    checkpoint: &EmbeddingCheckpoint,
    record: Option<&RunRecord>,
    dataset: &Dataset,
    settings: &ExportSettings,
) -> anyhow::Result<Bundle> {
    let recipe = &checkpoint.recipe;
    let preparation = recipe.preparation();
    let network = network(checkpoint);
    let (height, width) = (preparation.height as usize, preparation.width as usize);
    let model = match settings.precision {
        Precision::F32 => float_model(&network, &checkpoint.tensors, height, width)?,
        Precision::Int8 => {
            let photos = range_photos(dataset, &preparation)?;
            eprintln!("measuring quantisation ranges on {} photos", photos.len());
            int8_model(&network, &checkpoint.tensors, height, width, &photos)?
        }
    };
    let views = if recipe.mirror_as_new_identity && !settings.plain {
        vec![View::Plain, View::Mirrored]
    } else {
        vec![View::Plain]
    };
    let trained_on = format!(
        "{} in {} epochs",
        checkpoint.trained_on, checkpoint.progress.epochs
    );
    let card = settings.card.clone().unwrap_or_else(|| {
        format!(
            "# {}\n\n{}, {:?}, trained on {trained_on}.\n",
            settings.name, recipe.backbone, settings.precision
        )
    });
    let info = ModelInfo {
        architecture: recipe.backbone.to_string(),
        precision: settings.precision,
        opset: OPSET as u32,
        trained_on,
    };
    let catalogue = Catalogue::new(network.dimension * views.len());
    let mut bundle = Bundle::new(NewBundle {
        name: &settings.name,
        created: &SystemClock.now().to_string(),
        preparation,
        views,
        model_info: info,
        model,
        catalogue: catalogue.clone(),
        decision: DecisionRule::unfitted(),
        card,
    })?;
    let training = record.map(|record| of_record(record, &bundle.model));
    bundle = bundle.with_training_set(training)?;
    if let Some(record) = record
        && let Some(rule) = rule_on_validation(&bundle, dataset, record)?
    {
        bundle = bundle.with_catalogue(catalogue, rule)?;
    }
    let golden = golden(&bundle)?;
    Ok(bundle.with_golden(golden)?)
}

/// The trained network; its embedding is in slices if training ended so.
fn network(checkpoint: &EmbeddingCheckpoint) -> Network {
    let recipe = &checkpoint.recipe;
    let slices = if phase::ends_divided(recipe, checkpoint.progress.epochs) {
        recipe.divide.learners
    } else {
        1
    };
    let channels = recipe.preparation().channels();
    Network::new(recipe.backbone, channels, &recipe.head).in_slices(slices)
}

/// Photos spread evenly over the table, prepared and normalised.
fn range_photos(dataset: &Dataset, preparation: &Preparation) -> anyhow::Result<Vec<Array3<f32>>> {
    let spread = dataset.spread(RANGE_PHOTOS);
    let bar = bar(spread.len() as u64, "decoding");
    let mut photos = vec![];
    for (i, photo) in spread.into_iter().enumerate() {
        let pixels = photo.prepared(preparation)?;
        photos.push(preparation.normalise(&pixels, i % 2 == 1));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if photos.is_empty() {
        bail!("no photo to measure quantisation ranges on");
    }
    Ok(photos)
}

/// The decision rule fitted on the recorded validation identities, if there are enough.
fn rule_on_validation(
    bundle: &Bundle,
    dataset: &Dataset,
    record: &RunRecord,
) -> anyhow::Result<Option<DecisionRule>> {
    let (photos, identities) = (record.validation_photos(), record.split.validation.len());
    if identities == 0 {
        eprintln!("thresholds not fitted: the run held out no validation identities");
        return Ok(None);
    }
    let held_out = record.validation_in(dataset)?;
    let found: usize = held_out.iter().map(|(_, photos)| photos.len()).sum();
    if found < photos {
        eprintln!(
            "{found} of the {photos} validation photos, of {} of {identities} whales, are in the data",
            held_out.len()
        );
    }
    let photos: Vec<_> = held_out
        .iter()
        .flat_map(|(_, photos)| photos.iter().map(|&i| dataset.photos[i].clone()))
        .collect();
    if let Some(training) = &bundle.training {
        let overlap = TrainingOverlap::of(training, &photos)?;
        if overlap.is_misleading() {
            bail!(
                "the model was trained on validation photos: {overlap}; thresholds would be too high"
            );
        }
    }
    let embeddings = embed::all_photos(bundle, &photos, false)?;
    let manifest = &bundle.manifest;
    let catalogue = catalogue_of(manifest.dimension, &photos, &embeddings, &manifest.views)?;
    let Some(rule) = fit_rule(&catalogue, &bundle.decision) else {
        eprintln!(
            "thresholds not fitted: too few of the {} held-out identities have two photos",
            held_out.len()
        );
        return Ok(None);
    };
    eprintln!(
        "decision rule fitted on {} held-out identities: known from {:.3}, new below {:.3}",
        held_out.len(),
        rule.known_at,
        rule.new_below
    );
    Ok(Some(DecisionRule {
        fitted_on: format!("{} held-out identities of training", held_out.len()),
        ..rule
    }))
}
