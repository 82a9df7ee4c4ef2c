//! `flukewatch quantize`.

pub use super::arguments::QuantizeArgs;

use super::calibrate::{PASSES, ranges};
use super::compare::{Comparison, catalogue, embed, recall_at_1};
use super::correct::correct;
use super::equalise::equalise;
use super::float_graph::{FloatGraph, Rounding};
use super::opset::OPSET;
use super::outcome::{Compared, Kept, Outcome, TARGETS};
use super::photos::{Files, Images, Looks, to_compare};
use super::round::round;
use super::sensitivity::{measure, worst};
use super::subject::{is_onnx, subject};
use crate::dataset::Dataset;
use crate::enroll::refit;
use crate::export::histogram::Method;
use crate::files::write_atomically;
use crate::inspect::lint::lint;
use crate::train::progress::bar;
use anyhow::{Context, bail};
use flukewatch_common::bundle::{Bundle, MAX_PART, ModelInfo, Precision};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::engine::tract::TractForm;
use flukewatch_common::golden::golden;
use indicatif::ProgressBar;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// Photos that biases are corrected on: one pass over them for each layer.
const CORRECTION_PHOTOS: usize = 64;
/// Runs the command.
///
/// # Errors
/// When the model or a photo cannot be used, naming the node or the file; nothing is then written.
pub fn run(args: &QuantizeArgs) -> anyhow::Result<ExitCode> {
    let subject = subject(args)?;
    let mut graph = subject.graph.clone();
    let quiet = args.quiet || args.json;
    let (preparation, views) = (&subject.preparation, subject.views.as_slice());
    // Names are looked up before photos are, which takes long.
    let (mut kept, costly) = kept_by_name(args, &graph)?;
    let calibration = Dataset::open(&args.calibrate, args.photos.as_deref())?;
    let other = match &args.compare {
        Some(path) => Some(Dataset::open(path, args.compare_photos.as_deref())?),
        None => None,
    };
    let compared = to_compare(other.as_ref().unwrap_or(&calibration), args.look_at.0);
    let looks = stage(quiet, "decoding", compared.len(), |tick| {
        Ok(Looks::read(&compared, preparation, views, tick)?)
    })?;
    let float_model = graph.write().encode_to_vec();
    let float = embed_all(&float_model, TractForm::AsIs, &looks, quiet)?;

    let equalised = args.equalise.then(|| equalise(&mut graph, args.open_clips));
    let photos = Files::spread(&calibration, args.calibration_photos, preparation, views);
    let method = args.method();
    let ranges = stage(quiet, "calibrating", PASSES * photos.count(), |tick| {
        Ok(ranges(&graph, &photos, method, tick)?)
    })?;

    let mut sensitivity = None;
    if args.sensitivity || costly > 0 {
        let few = looks.first(args.look_at.1);
        let measured = stage(quiet, "measuring", graph.roundable().len(), |tick| {
            Ok(measure(&graph, &ranges, &few, tick)?)
        })?;
        for place in worst(&measured, costly) {
            kept.entry(place).or_insert("among the most costly");
        }
        sensitivity = Some(measured);
    }
    let layers: BTreeSet<usize> = graph
        .roundable()
        .into_iter()
        .filter(|l| !kept.contains_key(l))
        .collect();
    let mut corrected = None;
    if args.correct_bias {
        let few = Files::spread(
            &calibration,
            args.calibration_photos.min(CORRECTION_PHOTOS),
            preparation,
            views,
        );
        let steps = (layers.len() + 1) * few.count();
        corrected = Some(stage(quiet, "correcting", steps, |tick| {
            Ok(correct(&mut graph, &ranges, &layers, &few, tick)?)
        })?);
    }
    let mut fitted = None;
    if args.fit_weights {
        let steps = 2 * layers.len() * photos.count();
        fitted = Some(stage(quiet, "rounding", steps, |tick| {
            Ok(round(&mut graph, &ranges, &layers, &photos, tick)?)
        })?);
    }
    let model = graph
        .write_rounded(Rounding {
            ranges: &ranges,
            layers: &layers,
        })
        .encode_to_vec();

    let int8 = embed_all(&model, TractForm::AsIs, &looks, quiet)?;
    let stripped = embed_all(&model, TractForm::Stripped, &looks, quiet)?;
    let kept_layers = graph.layers.iter().enumerate().filter_map(|(i, layer)| {
        let why = kept.get(&i).copied().or(layer.stays)?;
        Some(Kept {
            layer: layer.name.clone(),
            why: why.into(),
        })
    });
    let outcome = Outcome {
        out: args.out.display().to_string(),
        bytes_before: float_model.len(),
        bytes: model.len(),
        layers: graph.layers.len(),
        rounded: layers.len(),
        kept: kept_layers.collect(),
        norms_folded: graph.norms.folded,
        norms_left: graph.norms.left.clone(),
        calibration: match method {
            Method::Percentile(p) => format!("percentile {p}"),
            _ => format!("{:?}", args.calibration).to_lowercase(),
        },
        calibration_photos: photos.count(),
        equalised,
        corrected,
        fitted,
        sensitivity,
        compared: Compared {
            photos: looks.pixels.len(),
            float_recall_at_1: recall_at_1(&looks, &float),
            int8: Comparison::of(&float, &int8, &looks),
            stripped: Comparison::of(&float, &stripped, &looks),
        },
        lint: TARGETS
            .iter()
            .map(|&t| (t.name(), lint(&model, t)))
            .collect(),
    };
    match &subject.bundle {
        Some(old) if !is_onnx(&args.out) => {
            let fitted = args
                .compare
                .is_some()
                .then_some((&looks, stripped.as_slice()));
            let bundle = renewed(args, old, model, &outcome, fitted)?;
            bundle.save(&args.out)?;
        }
        _ => write_atomically(&args.out, &model)
            .with_context(|| format!("{} cannot be written", args.out.display()))?,
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print!("{}", outcome.text());
    }
    Ok(if outcome.refused() {
        ExitCode::from(crate::inspect::REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}

/// A part of the work, behind a bar.
fn stage<T>(
    quiet: bool,
    what: &'static str,
    steps: usize,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        bar(steps as u64, what)
    };
    let done = work(&|| bar.inc(1));
    bar.finish_and_clear();
    done
}

fn embed_all(
    model: &[u8],
    form: TractForm,
    looks: &Looks,
    quiet: bool,
) -> anyhow::Result<Vec<Embedding>> {
    stage(quiet, "embedding", looks.pixels.len(), |tick| {
        Ok(embed(model, form, looks, tick)?)
    })
}

/// The layers to keep by name, with why, and how many of the most costly ones besides. A number that is a layer's name is that layer.
fn kept_by_name(
    args: &QuantizeArgs,
    graph: &FloatGraph,
) -> anyhow::Result<(BTreeMap<usize, &'static str>, usize)> {
    let (mut kept, mut costly) = (BTreeMap::new(), 0);
    for asked in &args.keep_float {
        match (graph.layer_named(asked), asked.parse::<usize>()) {
            (Ok(place), _) => {
                kept.insert(place, "--keep-float");
            }
            (Err(_), Ok(count)) => costly = costly.max(count),
            (Err(error), Err(_)) => return Err(error.into()),
        }
    }
    Ok((kept, costly))
}

/// The bundle of the new model: no catalogue, since its embeddings are the old model's, and a rule that was fitted on the new ones or none.
fn renewed(
    args: &QuantizeArgs,
    old: &Bundle,
    model: Vec<u8>,
    outcome: &Outcome,
    fitted: Option<(&Looks, &[Embedding])>,
) -> anyhow::Result<Bundle> {
    if model.len() as u64 > MAX_PART {
        bail!(
            "the model has {} bytes, a bundle holds {MAX_PART} at most",
            model.len()
        );
    }
    let stem = args.out.file_stem().unwrap_or_default().to_string_lossy();
    let name = args.name.clone().unwrap_or_else(|| stem.into_owned());
    let unfitted = DecisionRule {
        whale_score: old.decision.whale_score,
        ..DecisionRule::unfitted()
    };
    let rule = match fitted {
        Some((looks, embeddings)) => refit(&catalogue(looks, embeddings)?, &unfitted).0,
        None if args.keep_rule => old.decision.clone(),
        None => unfitted,
    };
    let c = &outcome.compared;
    let told = format!(
        "# {name}\n\nInt8 of the bundle '{}' ({}), by `flukewatch quantize`: {} of {} layers, calibrated by {} on {} photos. On {} photos the \
         cosine to its embeddings is {:.4} in the mean and {:.4} at least. What follows is the card of that bundle; its figures are those of \
         its own model.\n\n{}\n",
        old.manifest.name,
        old.id(),
        outcome.rounded,
        outcome.layers,
        outcome.calibration,
        outcome.calibration_photos,
        c.photos,
        c.int8.mean,
        c.int8.lowest,
        old.card.trim()
    );
    let card = match &args.card {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?,
        None => told,
    };
    let info = ModelInfo {
        precision: Precision::Int8,
        opset: OPSET as u32,
        ..old.manifest.model.clone()
    };
    let manifest = &old.manifest;
    let bundle = Bundle::new(
        &name,
        &SystemClock.now().to_string(),
        manifest.preparation.clone(),
        manifest.views.clone(),
        info,
        model,
        Catalogue::new(manifest.dimension),
        rule,
        card,
    )?;
    let golden = golden(&bundle)?;
    Ok(bundle
        .with_golden(golden)?
        .with_detector(old.detector_part())?)
}
