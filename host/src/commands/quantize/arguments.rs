use crate::commands::data::TableArgs;
use crate::commands::labelled_data::SkipBroken;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Quantise a float ONNX embedding model to int8: a bundle from export --float, or a file of
/// another exporter
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch quantize float.flukebundle --quantisation-photos train.csv --out int8.flukebundle
  flukewatch quantize resnet18.onnx --quantisation-photos train.csv --out resnet18-int8.onnx
  flukewatch quantize float.flukebundle --quantisation-photos train.csv --sensitivity --out int8.flukebundle
  flukewatch quantize float.flukebundle --quantisation-photos train.csv --keep-float 3 --gptq --out int8.flukebundle

The output is ONNX opset 17 with QuantizeLinear and DequantizeLinear: symmetric int8, one scale per tensor for activations and one \
per output channel for weights, float biases; on the inputs and weights of convolutions and matrix products and on the skip of \
residual sums. BatchNormalization is folded; squeeze-and-excitation and everything else stays in float. The result is checked \
against the rules of every engine, as by 'flukewatch inspect --target', and compared with the float model on photos.

Where the mean cosine to the float embedding would be below 0.995, the most sensitive layers stay in float by themselves, as few \
as needed and at most a quarter; the report names them. --keep-float turns this off; --keep-float 0 keeps no layer in float.

If the int8 model still differs too much from the float model (e.g. a lowest cosine below 0.99):
  1. --gptq rounds weights more accurately; it takes minutes and costs nothing at run time;
  2. --sensitivity shows which layers lose accuracy: mostly the first ones and depthwise convolutions;
  3. --keep-float 3, or --keep-float NAME for chosen layers, keeps these in float.

A model of another exporter needs one float input [1, C, H, W] (the batch size may be open) and one output [1, D]. From PyTorch:
  model.fc = torch.nn.Identity()     # the embedding instead of the classes
  torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), 'resnet18.onnx', opset_version=17)
Its photos are prepared by --mean, --std, --fit and --padding; size and channels are those of its input.

The catalogue and the decision rule of a bundle belong to the embeddings of its old model. The new bundle has an empty catalogue \
(flukewatch enroll fills it), and a rule fitted on --eval-photos, kept with --keep-rule, or not fitted.

Exit codes: 0 success; 1 failure; 3 written, but an engine would refuse the model.")]
pub(crate) struct QuantizeArgs {
    /// Float model: an .onnx file, or a bundle (a folder or a .flukebundle file)
    pub(super) model: PathBuf,
    /// Photos to measure quantisation ranges on, ideally training photos: a CSV or a folder with
    /// one folder per whale
    #[arg(long, value_name = "CSV|DIR")]
    pub(super) quantisation_photos: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR")]
    pub(super) photos: Option<PathBuf>,
    #[command(flatten)]
    pub(super) table: TableArgs,
    /// File to write: .onnx, or a bundle for a bundle
    #[arg(long, value_name = "FILE|BUNDLE")]
    pub(super) out: PathBuf,
    /// Number of quantisation photos at most, spread over the table
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub(super) max_quantisation_photos: usize,
    /// Round the weights of a layer together so that its output changes little (GPTQ); takes
    /// minutes
    #[arg(long)]
    pub(super) gptq: bool,
    /// Measure each layer alone in int8; takes minutes
    #[arg(long)]
    pub(super) sensitivity: bool,
    /// Keep a layer in float by its name, or the N most sensitive layers (repeatable) [default: as
    /// many as a mean cosine of 0.995 needs, at most a quarter]
    #[arg(long, value_name = "NAME|N")]
    pub(super) keep_float: Vec<String>,
    /// Photos to compare float and int8 on, ideally of held-out whales: a CSV or a folder [default:
    /// --quantisation-photos]
    #[arg(long, value_name = "CSV|DIR")]
    pub(super) eval_photos: Option<PathBuf>,
    /// Folder of the photos of the CSV in --eval-photos [default: the folder next to the CSV with
    /// its name]
    #[arg(long, value_name = "DIR", requires = "eval_photos")]
    pub(super) eval_photos_dir: Option<PathBuf>,
    /// Split of the CSV in --eval-photos [default: all lines]
    #[arg(long, value_name = "NAME", requires = "eval_photos")]
    pub(super) eval_split: Option<String>,
    /// Number of photos at most to compare on
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub(super) max_eval_photos: usize,
    /// Number of those at most to measure the sensitivity of layers on
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub(super) max_sensitivity_photos: usize,
    /// For an .onnx file: mean of each channel, 0 to 255 [default: ImageNet's
    /// 123.675,116.28,103.53]
    #[arg(long, value_delimiter = ',', value_name = "M,M,M")]
    pub(super) mean: Vec<f32>,
    /// For an .onnx file: standard deviation of each channel [default: ImageNet's
    /// 58.395,57.12,57.375]
    #[arg(long, value_delimiter = ',', value_name = "S,S,S")]
    pub(super) std: Vec<f32>,
    /// For an .onnx file: how a crop fills the input [default: stretch]
    #[arg(long, value_enum)]
    pub(super) fit: Option<FitChoice>,
    /// For an .onnx file: padding around a box, as a fraction of its sides [default: 0]
    #[arg(long, value_name = "FRACTION")]
    pub(super) padding: Option<f32>,
    /// For a bundle: keep the decision rule of the old bundle
    #[arg(long, conflicts_with = "eval_photos")]
    pub(super) keep_rule: bool,
    /// For a bundle: model card, a Markdown file [default: a summary and the old card]
    #[arg(long, value_name = "FILE")]
    pub(super) card: Option<PathBuf>,
    /// For a bundle: name of the new bundle [default: the file name of --out]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Write JSON: layers, sensitivity, GPTQ, comparison and lint
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) broken: SkipBroken,
    /// Hide progress bars
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FitChoice {
    /// Scale both sides to the input
    Stretch,
    /// Keep the aspect ratio and fill the rest
    Letterbox,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected an integer above 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_above_zero() {
        assert_eq!(at_least_one("256"), Ok(256));
        for wrong in ["0", "-1", "a", "1,2", ""] {
            assert!(at_least_one(wrong).is_err(), "{wrong}");
        }
    }
}
