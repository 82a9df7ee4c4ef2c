//! `flukewatch export`.

use super::onnx::OPSET;
use super::{float_model, int8_model};
use crate::dataset::Dataset;
use crate::embed;
use crate::enroll::{enrol_all, refit};
use crate::network::Network;
use crate::train::checkpoint::Checkpoint;
use crate::train::progress::bar;
use crate::train::schedule;
use crate::train::split::Split;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::bundle::{Bundle, ModelInfo, Precision, View};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::golden::golden;
use flukewatch_common::prepare::Preparation;
use ndarray::Array3;
use std::path::PathBuf;

/// Turn a trained network into a bundle: normalisation folded, ONNX, int8.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch export runs/first --calibrate photos.csv --out my-model.flukebundle

The calibration photos should be the training photos (or others like those to come, with their boxes); 256 of them, spread over \
the table, set the scales of int8. Where the run kept whales aside (validation_whales), they set the first thresholds of the \
decision rule. The bundle's catalogue is empty: flukewatch enroll fills it.")]
pub struct ExportArgs {
    /// A run's folder or a checkpoint
    run: PathBuf,
    /// Photos to calibrate on: a CSV or a folder with a folder for each whale
    #[arg(long, value_name = "CSV|DIR")]
    calibrate: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// The bundle to write: a single file if it ends in .flukebundle, else a folder
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// The bundle's name [default: the last part of --out]
    #[arg(long)]
    name: Option<String>,
    /// Keep 32-bit floats instead of int8
    #[arg(long)]
    float: bool,
    /// Embed each photo plain only, even if the network was trained to tell mirrored flukes apart: half the work, a little less
    /// recall
    #[arg(long)]
    plain: bool,
    /// The model card, a Markdown file [default: a short one from the run]
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Also write the trained weights without the optimiser's state, to tune from
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

const CALIBRATION_PHOTOS: usize = 256;

/// Runs the command.
///
/// # Errors
/// What stops it, for people.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::read(&Checkpoint::find(&args.run))?.for_export();
    let recipe = &checkpoint.recipe;
    let dataset = Dataset::open(&args.calibrate, args.photos.as_deref())?;
    let preparation = recipe.preparation();
    let slices = if schedule::ends_divided(recipe, checkpoint.progress.epochs) {
        recipe.divide.learners
    } else {
        1
    };
    let network =
        Network::new(recipe.backbone, preparation.channels(), &recipe.head).in_slices(slices);
    let (height, width) = (preparation.height as usize, preparation.width as usize);

    let model = if args.float {
        float_model(&network, &checkpoint.tensors, height, width)?
    } else {
        let photos = calibration_photos(&dataset, &preparation)?;
        eprintln!("calibrating on {} photos", photos.len());
        int8_model(&network, &checkpoint.tensors, height, width, &photos)?
    };
    let views = if recipe.mirror_is_another && !args.plain {
        vec![View::Plain, View::Mirrored]
    } else {
        vec![View::Plain]
    };
    let file_stem = args
        .out
        .file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = args.name.clone().unwrap_or(file_stem);
    let trained_on = format!(
        "{} in {} epochs",
        checkpoint.trained_on, checkpoint.progress.epochs
    );
    let precision = if args.float {
        Precision::F32
    } else {
        Precision::Int8
    };
    let card = match &args.card {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?
        }
        None => format!(
            "# {name}\n\n{}, {precision:?}, trained on {trained_on}.\n",
            recipe.backbone
        ),
    };
    let info = ModelInfo {
        architecture: recipe.backbone.to_string(),
        precision,
        opset: OPSET as u32,
        trained_on,
    };
    let catalogue = Catalogue::new(network.dimension * views.len());
    let created = SystemClock.now().to_string();
    let mut bundle = Bundle::new(
        &name,
        &created,
        preparation,
        views,
        info,
        model,
        catalogue.clone(),
        DecisionRule::unfitted(),
        card,
    )?;
    if let Some(rule) = rule_from_whales_kept_aside(&bundle, &dataset, &checkpoint)? {
        bundle = bundle.with_catalogue(catalogue, rule)?;
    }
    let golden = golden(&bundle)?;
    bundle = bundle.with_golden(golden)?;
    bundle.save(&args.out)?;
    if let Some(path) = &args.weights {
        checkpoint.write(path)?;
        println!("wrote {}", path.display());
    }
    println!(
        "wrote {} (bundle {}, model {} bytes)",
        args.out.display(),
        bundle.id(),
        bundle.model.len()
    );
    Ok(())
}

/// Photos spread evenly over the table, prepared and normalised.
fn calibration_photos(
    dataset: &Dataset,
    preparation: &Preparation,
) -> anyhow::Result<Vec<Array3<f32>>> {
    let spread = dataset.spread(CALIBRATION_PHOTOS);
    let bar = bar(spread.len() as u64, "decoding");
    let mut photos = vec![];
    for (i, photo) in spread.into_iter().enumerate() {
        let pixels = photo.prepared(preparation)?;
        photos.push(preparation.normalise(&pixels, i % 2 == 1));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if photos.is_empty() {
        bail!("no photo to calibrate on");
    }
    Ok(photos)
}

/// The decision rule fitted on the whales that the run kept aside, if it did and there are enough of them.
fn rule_from_whales_kept_aside(
    bundle: &Bundle,
    dataset: &Dataset,
    checkpoint: &Checkpoint,
) -> anyhow::Result<Option<DecisionRule>> {
    let recipe = &checkpoint.recipe;
    let watch = Split::of(dataset, recipe.validation_whales, recipe.seed).watch;
    let photos: Vec<_> = watch
        .iter()
        .flat_map(|(_, photos)| photos.iter().map(|&i| dataset.photos[i].clone()))
        .collect();
    let embeddings = embed::all_photos(bundle, &photos, false)?;
    let named = photos
        .iter()
        .zip(&embeddings)
        .filter_map(|(photo, embedding)| {
            Some((photo.whale.as_deref()?, photo.name.as_str(), embedding))
        });
    let catalogue = enrol_all(bundle.manifest.dimension, named)?;
    let (rule, note) = refit(&catalogue, &bundle.decision);
    eprintln!("decision rule on {} whales kept aside: {note}", watch.len());
    Ok((rule != bundle.decision).then(|| DecisionRule {
        fitted_on: format!("{} whales kept from training", watch.len()),
        ..rule
    }))
}
