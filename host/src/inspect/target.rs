//! Where a model shall run, and which operators run there.

use clap::ValueEnum;
use std::ops::RangeInclusive;

/// An engine that a model is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// TensorRT 8.5, of JetPack 5
    #[value(name = "tensorrt8.5")]
    Tensorrt8,
    /// TensorRT 10, of JetPack 6
    #[value(name = "tensorrt10")]
    Tensorrt10,
    /// tract, on any processor
    #[value(name = "tract")]
    Tract,
}

/// What the parser of ONNX files of TensorRT 8.5 says itself that it does not take (docs/operators.md of its release 8.5).
const NOT_IN_8: [&str; 33] = [
    "Bernoulli",
    "BitShift",
    "BlackmanWindow",
    "Compress",
    "ConcatFromSequence",
    "ConvInteger",
    "DFT",
    "Det",
    "DynamicQuantizeLinear",
    "HammingWindow",
    "HannWindow",
    "Hardmax",
    "IsInf",
    "LayerNormalization",
    "MatMulInteger",
    "MaxRoiPool",
    "MaxUnpool",
    "MelWeightMatrix",
    "Multinomial",
    "NegativeLogLikelihoodLoss",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
    "QLinearConv",
    "QLinearMatMul",
    "STFT",
    "SequenceAt",
    "SequenceConstruct",
    "SoftmaxCrossEntropyLoss",
    "SplitToSequence",
    "StringNormalizer",
    "TfIdfVectorizer",
    "Unique",
];

/// Quantised forms that TensorRT 10 does not take either: found by its parser's successor, TensorRT-RTX.
const NOT_IN_10: [&str; 5] = [
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
];

impl Target {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensorrt8 => "tensorrt8.5",
            Self::Tensorrt10 => "tensorrt10",
            Self::Tract => "tract",
        }
    }

    /// Whether it is a TensorRT.
    pub fn is_tensorrt(self) -> bool {
        self != Self::Tract
    }

    /// The operator sets that it reads, where it says so.
    pub(super) fn opsets(self) -> Option<RangeInclusive<i64>> {
        match self {
            Self::Tensorrt8 => Some(7..=17),
            Self::Tensorrt10 => Some(9..=20),
            Self::Tract => None,
        }
    }

    /// Whether it is known to refuse an operator.
    pub(super) fn refuses(self, operator: &str) -> bool {
        match self {
            Self::Tensorrt8 => NOT_IN_8.contains(&operator),
            Self::Tensorrt10 => NOT_IN_10.contains(&operator),
            Self::Tract => false,
        }
    }
}
