//! What `flukewatch quantize` is told, and its help.

use crate::export::histogram::Method;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Turn any float ONNX embedding model into an int8 one: a bundle from export --float, or a file of another exporter.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch quantize float.flukebundle --calibrate train.csv --out int8.flukebundle
  flukewatch quantize resnet18.onnx --calibrate train.csv --out resnet18-int8.onnx
  flukewatch quantize float.flukebundle --calibrate train.csv --sensitivity --out int8.flukebundle
  flukewatch quantize float.flukebundle --calibrate train.csv --keep-float 3 --correct-bias --out int8.flukebundle

The file that is written is ONNX in opset 17 with QuantizeLinear and DequantizeLinear: symmetric int8, one scale a tensor for \
activations and one an output channel for weights, biases in float; on the inputs and weights of convolutions and matrices and on the \
skip of residual sums. BatchNormalization is folded; squeeze-and-excitation and all else stays in float. In the end the model is held \
against the rules of every engine, as by 'flukewatch inspect --target', and compared with the float model on photos.

Where the int8 model is too far from the float one (a lowest cosine below 0.99, say), try in this order:
  1. another --calibration: percentile or mse where activations have outliers, max where they have none;
  2. --sensitivity, to see which layers cost: mostly the first ones and depthwise convolutions;
  3. --fit-weights, or the quicker --correct-bias: both cost nothing at run time; --equalise, where Relu (not Relu6) stands between layers;
  4. --keep-float 3, or --keep-float NAME for chosen layers: these then run in float.

A model from elsewhere: one input [1, C, H, W] of floats (the batch may be open), one output [1, D]. From PyTorch:
  model.fc = torch.nn.Identity()     # the embedding instead of the classes
  torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), 'resnet18.onnx', opset_version=17)
Its photos are prepared by --mean, --deviation, --fit and --margin; size and channels are those of its input.

A bundle's catalogue and decision rule belong to the embeddings of its old model: the new bundle has an empty catalogue (flukewatch \
enroll fills it), and its rule is fitted on the photos of --compare, or kept with --keep-rule, or not fitted at all.

Exit codes: 0 done; 1 failed; 3 written, but an engine would refuse it.")]
pub struct QuantizeArgs {
    /// The float model: an .onnx file, or a bundle (a folder or a .flukebundle file)
    pub(super) model: PathBuf,
    /// Photos to calibrate on, best those that the model was trained on: a CSV or a folder with a folder for each whale
    #[arg(long, value_name = "CSV|DIR")]
    pub(super) calibrate: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    pub(super) photos: Option<PathBuf>,
    /// The file to write: .onnx, or for a bundle a bundle
    #[arg(long, value_name = "FILE|BUNDLE")]
    pub(super) out: PathBuf,
    /// How many photos to calibrate on, spread over the table
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub(super) calibration_photos: usize,
    /// How the range of a tensor is chosen
    #[arg(long, value_enum, default_value_t = Calibration::Mse)]
    pub(super) calibration: Calibration,
    /// With --calibration percentile: the share of values, in percent, that the range holds
    #[arg(long, value_name = "PERCENT", default_value_t = 99.99, value_parser = percent)]
    pub(super) percentile: f64,
    /// Even out the ranges of channels between pairs of layers (cross-layer equalisation), where it leaves the float model what it is
    #[arg(long)]
    pub(super) equalise: bool,
    /// With --equalise: also across Relu6, which becomes Relu and Min with a bound for each channel; one step more at run time
    #[arg(long, requires = "equalise")]
    pub(super) open_clips: bool,
    /// Take what rounding adds on average off the biases, layer by layer
    #[arg(long)]
    pub(super) correct_bias: bool,
    /// Round weights so that what a layer makes of the photos stays near, not each weight (GPTQ); takes some minutes, costs nothing at run time
    #[arg(long, conflicts_with = "correct_bias")]
    pub(super) fit_weights: bool,
    /// Measure what each layer costs when it alone is rounded; takes minutes
    #[arg(long)]
    pub(super) sensitivity: bool,
    /// Leave a layer in float, by its name; or so many of the most costly ones, which are then measured (may be given again)
    #[arg(long, value_name = "NAME|N")]
    pub(super) keep_float: Vec<String>,
    /// Photos to compare float and int8 on: a CSV or a folder, of other whales than those of training [default: those of --calibrate]
    #[arg(long, value_name = "CSV|DIR")]
    pub(super) compare: Option<PathBuf>,
    /// The photos of that CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR", requires = "compare")]
    pub(super) compare_photos: Option<PathBuf>,
    /// How many photos to compare on, and to measure each layer on
    #[arg(long, value_name = "N,N", default_value = "256,64", value_parser = two_counts)]
    pub(super) look_at: (usize, usize),
    /// For an .onnx file: what is subtracted from each value of 0 to 255, a number a channel [default: ImageNet's 123.675,116.28,103.53]
    #[arg(long, value_delimiter = ',', value_name = "M,M,M")]
    pub(super) mean: Vec<f32>,
    /// For an .onnx file: what divides the rest, a number a channel [default: ImageNet's 58.395,57.12,57.375]
    #[arg(long, value_delimiter = ',', value_name = "D,D,D")]
    pub(super) deviation: Vec<f32>,
    /// For an .onnx file: how a crop fills the input [default: stretch]
    #[arg(long, value_enum)]
    pub(super) fit: Option<FitChoice>,
    /// For an .onnx file: how far a box is widened, as a share of its sides [default: 0]
    #[arg(long)]
    pub(super) margin: Option<f32>,
    /// For a bundle: keep the old bundle's decision rule, where embeddings differ so little that it still holds
    #[arg(long, conflicts_with = "compare")]
    pub(super) keep_rule: bool,
    /// For a bundle: the model card, a Markdown file [default: what was done, and the old bundle's card]
    #[arg(long, value_name = "FILE")]
    pub(super) card: Option<PathBuf>,
    /// The new bundle's name [default: the last part of --out]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Write JSON: layers, sensitivity, equalisation, bias correction, comparison and lint
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress bar
    #[arg(long)]
    pub(super) quiet: bool,
}

/// How the range of a tensor is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Calibration {
    /// The largest value seen
    Max,
    /// Nearly the largest: --percentile of all values lie within
    Percentile,
    /// Least divergence of the rounded histogram (Kullback-Leibler), as TensorRT does it
    Entropy,
    /// Least squared error
    Mse,
}

/// How a crop of any shape fills the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FitChoice {
    /// Both sides to the input's, whatever the aspect
    Stretch,
    /// The aspect is kept, the rest filled
    Letterbox,
}

impl QuantizeArgs {
    /// How ranges are chosen.
    pub(super) fn method(&self) -> Method {
        match self.calibration {
            Calibration::Max => Method::Max,
            Calibration::Percentile => Method::Percentile(self.percentile),
            Calibration::Entropy => Method::Entropy,
            Calibration::Mse => Method::Mse,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a number above 0 is wanted".into()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if p > 0.0 && p <= 100.0 => Ok(p),
        _ => Err("a number above 0, at most 100, is wanted".into()),
    }
}

fn two_counts(text: &str) -> Result<(usize, usize), String> {
    let wrong = || "two numbers above 0 are wanted, as 256,64".to_owned();
    let (one, other) = text.split_once(',').ok_or_else(wrong)?;
    Ok((
        at_least_one(one).map_err(|_| wrong())?,
        at_least_one(other).map_err(|_| wrong())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_held_to_their_limits() {
        assert_eq!(percent("99.99"), Ok(99.99));
        for wrong in ["0", "100.1", "-1", "NaN", "most"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(two_counts("256,64"), Ok((256, 64)));
        for wrong in ["256", "0,64", "256,0", "a,b", "1,2,3", ""] {
            assert!(two_counts(wrong).is_err(), "{wrong}");
        }
    }
}
