//! The model that is quantised, and how photos come to it.

use super::arguments::{FitChoice, QuantizeArgs};
use super::float_graph::FloatGraph;
use anyhow::{Context, bail};
use flukewatch_common::bundle::{Bundle, View};
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use std::path::Path;

/// The model with all that says how photos come to it.
pub(super) struct Subject {
    pub(super) bundle: Option<Bundle>,
    pub(super) graph: FloatGraph,
    pub(super) preparation: Preparation,
    pub(super) views: Vec<View>,
}

/// ImageNet's, in values of 0 to 255.
const IMAGENET: [[f32; 3]; 2] = [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]];

/// Whether a path is one of an ONNX file.
pub(super) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "onnx")
}

/// Opens what the command line names.
///
/// # Errors
/// When the model cannot be read or quantised, or its preparation is not said.
pub(super) fn subject(args: &QuantizeArgs) -> anyhow::Result<Subject> {
    let path = &args.model;
    if !is_onnx(path) {
        let given = !args.mean.is_empty()
            || !args.deviation.is_empty()
            || args.fit.is_some()
            || args.margin.is_some();
        if given {
            bail!(
                "a bundle says itself how photos are prepared: --mean, --deviation, --fit and --margin are for .onnx files"
            );
        }
        let bundle = Bundle::open(path)?;
        let in_model = || format!("the model of {}", path.display());
        let graph = FloatGraph::of(&bundle.model, None).with_context(in_model)?;
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
                "{} does not fit its own model: run 'flukewatch inspect' on it",
                path.display()
            );
        }
        return Ok(Subject {
            views: bundle.manifest.views.clone(),
            bundle: Some(bundle),
            graph,
            preparation,
        });
    }
    if !is_onnx(&args.out) {
        bail!(
            "an .onnx file becomes an .onnx file: {} would be a bundle, which needs a manifest",
            args.out.display()
        );
    }
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let graph = FloatGraph::of(&bytes, Some(folder)).with_context(|| path.display().to_string())?;
    Ok(Subject {
        bundle: None,
        preparation: preparation(args, graph.shape())?,
        graph,
        views: vec![View::Plain],
    })
}

/// What the command line says of a bare model's photos.
fn preparation(
    args: &QuantizeArgs,
    [channels, height, width]: [usize; 3],
) -> anyhow::Result<Preparation> {
    let colour = match channels {
        1 => Colour::Grey,
        3 => Colour::Rgb,
        n => bail!("the model takes images of {n} channels; photos are grey (1) or RGB (3)"),
    };
    let numbers = |given: &[f32], default: [f32; 3], option: &str| match (given.len(), channels) {
        (0, 3) => Ok(default.to_vec()),
        (0, _) => bail!(
            "the model takes grey images: say how they are normalised, with --mean and --deviation (127 and 128, for example)"
        ),
        (n, c) if n == c => Ok(given.to_vec()),
        (n, c) => bail!("--{option} has {n} numbers, the model takes {c} channel(s)"),
    };
    let preparation = Preparation {
        height: height as u32,
        width: width as u32,
        colour,
        fit: match args.fit {
            Some(FitChoice::Letterbox) => Fit::Letterbox,
            _ => Fit::Stretch,
        },
        margin: args.margin.unwrap_or(0.0),
        mean: numbers(&args.mean, IMAGENET[0], "mean")?,
        deviation: numbers(&args.deviation, IMAGENET[1], "deviation")?,
    };
    preparation.check()?;
    Ok(preparation)
}
