//! The model to quantise and the preparation of its photos.

use super::arguments::{FitChoice, QuantizeArgs};
use anyhow::{Context, bail};
use flukewatch_common::bundle::{Bundle, View};
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_onnx::local_output::without_local_output;
use flukewatch_onnx::quantize::FloatGraph;
use std::path::Path;

pub(super) struct SourceModel {
    pub(super) bundle: Option<Bundle>,
    pub(super) graph: FloatGraph,
    pub(super) preparation: Preparation,
    pub(super) views: Vec<View>,
}

/// Mean and standard deviation of ImageNet, in values of 0 to 255.
const IMAGENET: [[f32; 3]; 2] = [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]];

pub(super) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "onnx")
}

pub(super) fn open(args: &QuantizeArgs) -> anyhow::Result<SourceModel> {
    let path = &args.model;
    if !is_onnx(path) {
        let given = !args.mean.is_empty()
            || !args.std.is_empty()
            || args.fit.is_some()
            || args.padding.is_some();
        if given {
            bail!(
                "--mean, --std, --fit and --padding apply to .onnx files; a bundle defines its own preparation"
            );
        }
        let bundle = Bundle::open(path)?;
        let in_model = || format!("the model of {}", path.display());
        if bundle.manifest.local.is_some() {
            eprintln!(
                "local matching is left out: add it to the quantised bundle with flukewatch local-matching"
            );
        }
        let model = without_local_output(&bundle.model).with_context(in_model)?;
        let graph = FloatGraph::of(&model, None).with_context(in_model)?;
        let preparation = bundle.manifest.preparation.clone();
        let prepared = [
            preparation.channels(),
            preparation.height as usize,
            preparation.width as usize,
        ];
        if graph.shape() != prepared
            || graph.dimension() * bundle.manifest.views.len() != bundle.manifest.dimension
        {
            bail!(
                "{} contradicts its own model; run 'flukewatch inspect' on it",
                path.display()
            );
        }
        return Ok(SourceModel {
            views: bundle.manifest.views.clone(),
            bundle: Some(bundle),
            graph,
            preparation,
        });
    }
    if !is_onnx(&args.out) {
        bail!(
            "--out {}: expected an .onnx file, since a bundle needs the manifest of a bundle",
            args.out.display()
        );
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let graph = FloatGraph::of(&bytes, Some(folder)).with_context(|| path.display().to_string())?;
    Ok(SourceModel {
        bundle: None,
        preparation: preparation(args, graph.shape())?,
        graph,
        views: vec![View::Plain],
    })
}

/// The preparation for an .onnx file, from the command line.
fn preparation(
    args: &QuantizeArgs,
    [channels, height, width]: [usize; 3],
) -> anyhow::Result<Preparation> {
    let colour = match channels {
        1 => Colour::Grey,
        3 => Colour::Rgb,
        n => bail!("the model reads images of {n} channels; photos are grey (1) or RGB (3)"),
    };
    let numbers = |given: &[f32], default: [f32; 3], option: &str| match (given.len(), channels) {
        (0, 3) => Ok(default.to_vec()),
        (0, _) => bail!(
            "the model reads grey images; set their normalisation with --mean and --std, e.g. 127 and 128"
        ),
        (n, c) if n == c => Ok(given.to_vec()),
        (n, c) => bail!("--{option} has {n} number(s), expected {c}, one per channel"),
    };
    let preparation = Preparation {
        height: height as u32,
        width: width as u32,
        colour,
        fit: match args.fit {
            Some(FitChoice::Letterbox) => Fit::Letterbox,
            _ => Fit::Stretch,
        },
        padding: args.padding.unwrap_or(0.0),
        mean: numbers(&args.mean, IMAGENET[0], "mean")?,
        std: numbers(&args.std, IMAGENET[1], "std")?,
    };
    preparation.validate()?;
    Ok(preparation)
}
