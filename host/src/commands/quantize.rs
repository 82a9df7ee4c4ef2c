//! `flukewatch quantize`: quantise a float model to int8, compare both, and write a file or a
//! bundle.

mod arguments;
mod comparison;
#[cfg(test)]
mod fixtures;
mod inaccurate;
mod photos;
mod report;
mod sensitivity;
mod source_model;

pub(crate) use arguments::QuantizeArgs;

use super::data::TableArgs;
use super::inspect::REFUSED;
use super::labelled_data::LabelledData;
use anyhow::{Context, bail};
use comparison::{Comparison, catalogue, embed, recall_at_1};
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bundle::{Bundle, MAX_PART, ModelInfo, NewBundle, Precision};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_eval::enrol::fit_rule;
use flukewatch_inference::engine::tract::TractForm;
use flukewatch_inference::golden::golden;
use flukewatch_onnx::lint::{Target, lint};
use flukewatch_onnx::proto::build::OPSET;
use flukewatch_onnx::quantize::{
    FloatGraph, GptqLayer, Images, Quantisation, Ranges, gptq, range_ticks, ranges,
};
use flukewatch_progress::{ProgressBar, bar};
use inaccurate::{Accuracy, LeftInFloat, MIN_MEAN_COSINE};
use photos::{EvalPhotos, PhotoFiles, choose};
use report::{Compared, FloatLayer, Report};
use sensitivity::{Sensitivity, measure, worst};
use source_model::{SourceModel, is_onnx};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(args: &QuantizeArgs) -> anyhow::Result<ExitCode> {
    let source = source_model::open(args)?;
    let float_layers = FloatLayers::parse(args, &source.graph)?;
    let tables = Tables::open(args)?;
    let progress = Progress {
        hidden: args.quiet || args.json,
    };
    let photos = tables.eval_photos(args, &source, &progress)?;
    let int8 = quantise(args, &source, float_layers, &tables, &photos, &progress)?;
    let comparison = compare(&source.graph, &int8.model, &photos, &progress)?;
    let report = Report {
        out: args.out.display().to_string(),
        bytes_before: source.graph.encode().len(),
        bytes: int8.model.len(),
        layers: source.graph.layers().len(),
        quantised: int8.layers.len(),
        float: int8.float_layers.named(&source.graph),
        left_in_float: int8.left_in_float,
        norms_folded: source.graph.norms().folded,
        norms_left: source.graph.norms().left.clone(),
        quantisation_photos: int8.photos,
        gptq: int8.gptq,
        sensitivity: int8.sensitivity,
        lint: Target::ALL
            .iter()
            .map(|&t| (t.name(), lint(&int8.model, t)))
            .collect(),
        compared: comparison.compared,
    };
    write(args, &source, int8.model, &report, || {
        catalogue(&photos, &comparison.stripped)
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(if report.refused() {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Progress bars, one per stage.
struct Progress {
    hidden: bool,
}

impl Progress {
    fn stage<T>(
        &self,
        label: &'static str,
        length: usize,
        work: impl FnOnce(&(dyn Fn() + Sync)) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let bar = if self.hidden {
            ProgressBar::hidden()
        } else {
            bar(length as u64, label)
        };
        let result = work(&|| bar.inc(1));
        bar.finish_and_clear();
        result
    }

    fn embed(
        &self,
        model: &[u8],
        form: TractForm,
        photos: &EvalPhotos,
    ) -> anyhow::Result<Vec<Embedding>> {
        self.stage("embedding", photos.pixels.len(), |tick| {
            embed(model, form, photos, tick)
        })
    }
}

/// The tables of photos.
struct Tables {
    quantisation: LabelledData,
    eval: Option<LabelledData>,
}

impl Tables {
    fn open(args: &QuantizeArgs) -> anyhow::Result<Self> {
        let checked = |table: &TableArgs, path: &Path, photos: Option<&Path>| {
            let mut data = LabelledData::open(table, path, photos)?;
            data.check(args.broken, args.quiet || args.json)?;
            anyhow::Ok(data)
        };
        let eval = args.eval_photos.as_deref();
        let eval_table = TableArgs {
            split: args.eval_split.clone(),
            ..args.table.clone()
        };
        Ok(Self {
            quantisation: checked(
                &args.table,
                &args.quantisation_photos,
                args.photos.as_deref(),
            )?,
            eval: eval
                .map(|path| checked(&eval_table, path, args.eval_photos_dir.as_deref()))
                .transpose()?,
        })
    }

    fn eval_photos(
        &self,
        args: &QuantizeArgs,
        source: &SourceModel,
        progress: &Progress,
    ) -> anyhow::Result<EvalPhotos> {
        let table = self.eval.as_ref().unwrap_or(&self.quantisation);
        let chosen = choose(&table.dataset, args.max_eval_photos);
        progress.stage("decoding", chosen.len(), |tick| {
            let (preparation, views) = (&source.preparation, &source.views);
            Ok(EvalPhotos::read(&chosen, preparation, views, tick)?)
        })
    }
}

/// The layers to keep in float.
struct FloatLayers {
    /// By index, with the reason.
    reasons: BTreeMap<usize, String>,
    /// Number of the most sensitive layers to keep besides.
    most_sensitive: usize,
}

impl FloatLayers {
    /// If a layer has a number as its name, the number means that layer.
    fn parse(args: &QuantizeArgs, graph: &FloatGraph) -> anyhow::Result<Self> {
        let (mut reasons, mut most_sensitive) = (BTreeMap::new(), 0);
        for value in &args.keep_float {
            match (graph.layer_named(value), value.parse::<usize>()) {
                (Ok(layer), _) => {
                    reasons.insert(layer, "--keep-float".to_owned());
                }
                (Err(_), Ok(count)) => most_sensitive = most_sensitive.max(count),
                (Err(error), Err(_)) => return Err(error).context("--keep-float"),
            }
        }
        Ok(Self {
            reasons,
            most_sensitive,
        })
    }

    /// Adds the layers that stay in float by themselves, with their measured cosine.
    fn leave(&mut self, left: &LeftInFloat, measured: &[Sensitivity]) {
        for layer in measured.iter().filter(|l| left.layers.contains(&l.index)) {
            let reason = format!("mean cosine {:.4} with it alone in int8", layer.mean);
            self.reasons.insert(layer.index, reason);
        }
    }

    fn named(&self, graph: &FloatGraph) -> Vec<FloatLayer> {
        let layers = graph.layers().iter().enumerate();
        layers
            .filter_map(|(index, layer)| {
                let reason = self.reasons.get(&index).map(String::as_str);
                Some(FloatLayer {
                    layer: layer.name.clone(),
                    reason: reason.or(layer.float_reason)?.to_owned(),
                })
            })
            .collect()
    }
}

struct Int8 {
    model: Vec<u8>,
    layers: BTreeSet<usize>,
    float_layers: FloatLayers,
    left_in_float: Option<LeftInFloat>,
    /// Number of photos that ranges were measured on.
    photos: usize,
    sensitivity: Option<Vec<Sensitivity>>,
    gptq: Option<Vec<GptqLayer>>,
}

fn quantise(
    args: &QuantizeArgs,
    source: &SourceModel,
    mut float_layers: FloatLayers,
    tables: &Tables,
    eval_photos: &EvalPhotos,
    progress: &Progress,
) -> anyhow::Result<Int8> {
    let mut graph = source.graph.clone();
    let photos = PhotoFiles::spread(
        &tables.quantisation.dataset,
        args.max_quantisation_photos,
        &source.preparation,
        &source.views,
    );
    let count = photos.count();
    let ranges: Ranges = progress.stage("ranges", range_ticks(count), |tick| {
        Ok(ranges(&graph, &photos, tick)?)
    })?;
    let few = eval_photos.first(args.max_sensitivity_photos);
    let measured = || {
        progress.stage("measuring", graph.quantisable().len(), |tick| {
            measure(&graph, &ranges, &few, tick)
        })
    };
    let mut sensitivity = None;
    if args.sensitivity || float_layers.most_sensitive > 0 {
        let measured = measured()?;
        for layer in worst(&measured, float_layers.most_sensitive) {
            let reason = float_layers.reasons.entry(layer);
            reason.or_insert("among the most sensitive".into());
        }
        sensitivity = Some(measured);
    }
    let mut left_in_float = None;
    if args.keep_float.is_empty() && !few.pixels.is_empty() {
        let accuracy = Accuracy::new(&graph, &ranges, &few)?;
        let before = progress.stage("comparing", few.pixels.len(), |tick| {
            accuracy.mean_cosine(&BTreeSet::new(), tick)
        })?;
        if before < MIN_MEAN_COSINE {
            let alone = match sensitivity.take() {
                Some(alone) => alone,
                None => measured()?,
            };
            let left = accuracy.leave_in_float(&alone, before, &|| {})?;
            float_layers.leave(&left, &alone);
            left_in_float = Some(left);
            sensitivity = args.sensitivity.then_some(alone);
        }
    }
    let layers: BTreeSet<usize> = graph
        .quantisable()
        .into_iter()
        .filter(|layer| !float_layers.reasons.contains_key(layer))
        .collect();
    let mut gptq_layers = None;
    if args.gptq {
        let ticks = 2 * layers.len() * count;
        gptq_layers = Some(progress.stage("GPTQ", ticks, |tick| {
            Ok(gptq(&mut graph, &ranges, &layers, &photos, tick)?)
        })?);
    }
    let model = graph.encode_quantised(Quantisation {
        ranges: &ranges,
        layers: &layers,
    });
    Ok(Int8 {
        model,
        layers,
        float_layers,
        left_in_float,
        photos: count,
        sensitivity,
        gptq: gptq_layers,
    })
}

struct ComparedModels {
    compared: Compared,
    /// The embeddings with int8 weights and float activations, as on a boat.
    stripped: Vec<Embedding>,
}

fn compare(
    float: &FloatGraph,
    int8: &[u8],
    photos: &EvalPhotos,
    progress: &Progress,
) -> anyhow::Result<ComparedModels> {
    let float = progress.embed(&float.encode(), TractForm::AsIs, photos)?;
    let all_int8 = progress.embed(int8, TractForm::AsIs, photos)?;
    let stripped = progress.embed(int8, TractForm::Dequantised, photos)?;
    Ok(ComparedModels {
        compared: Compared {
            photos: photos.pixels.len(),
            float_recall_at_1: recall_at_1(photos, &float)?,
            int8: Comparison::of(&float, &all_int8, photos)?,
            stripped: Comparison::of(&float, &stripped, photos)?,
        },
        stripped,
    })
}

/// Writes the model, in the bundle of the source model if there is one. A decision rule is fitted
/// on `eval_catalogue`.
fn write(
    args: &QuantizeArgs,
    source: &SourceModel,
    model: Vec<u8>,
    report: &Report,
    eval_catalogue: impl FnOnce() -> anyhow::Result<Catalogue>,
) -> anyhow::Result<()> {
    match &source.bundle {
        Some(old) if !is_onnx(&args.out) => {
            let unfitted = DecisionRule {
                whale_score: old.decision.whale_score,
                ..DecisionRule::unfitted()
            };
            let rule = if args.eval_photos.is_some() {
                fit_rule(&eval_catalogue()?, &unfitted).unwrap_or(unfitted)
            } else if args.keep_rule {
                old.decision.clone()
            } else {
                unfitted
            };
            new_bundle(args, old, model, report, rule)?.save(&args.out)?;
        }
        _ => write_atomically(&args.out, &model)
            .with_context(|| format!("cannot write {}", args.out.display()))?,
    }
    Ok(())
}

/// A bundle with an empty catalogue, since the embeddings of the old catalogue are the old model's.
fn new_bundle(
    args: &QuantizeArgs,
    old: &Bundle,
    model: Vec<u8>,
    report: &Report,
    rule: DecisionRule,
) -> anyhow::Result<Bundle> {
    if model.len() as u64 > MAX_PART {
        bail!(
            "the model has {} bytes, a bundle holds at most {MAX_PART}",
            model.len()
        );
    }
    let stem = args.out.file_stem().unwrap_or_default().to_string_lossy();
    let name = args.name.clone().unwrap_or_else(|| stem.into_owned());
    let card = match &args.card {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?,
        None => card(&name, old, report),
    };
    let manifest = &old.manifest;
    let info = ModelInfo {
        precision: Precision::Int8,
        opset: OPSET as u32,
        ..manifest.model.clone()
    };
    let bundle = Bundle::new(NewBundle {
        name: &name,
        created: &SystemClock.now().to_string(),
        preparation: manifest.preparation.clone(),
        views: manifest.views.clone(),
        model_info: info,
        model,
        catalogue: Catalogue::new(manifest.dimension),
        decision: rule,
        card,
    })?;
    let golden = golden(&bundle)?;
    Ok(bundle
        .with_golden(golden)?
        .with_detector(old.detector_part())?
        .with_training_set(old.training.clone())?)
}

fn card(name: &str, old: &Bundle, report: &Report) -> String {
    let c = &report.compared;
    format!(
        "# {name}\n\nThe bundle '{}' ({}) in int8, by `flukewatch quantize`: {} of {} layers, ranges measured on {} photos. On {} photos \
         the cosine to its embeddings is {:.4} on average and {:.4} at least. Its own card follows; the figures there are those of the \
         float model.\n\n{}\n",
        old.manifest.name,
        old.id(),
        report.quantised,
        report.layers,
        report.quantisation_photos,
        c.photos,
        c.int8.mean,
        c.int8.lowest,
        old.card.trim()
    )
}
