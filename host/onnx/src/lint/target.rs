//! The engines, and the operators that they do not run.

use std::ops::RangeInclusive;

/// An engine that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// TensorRT 8.5, of JetPack 5
    Tensorrt8,
    /// TensorRT 10, of JetPack 6
    Tensorrt10,
    /// tract, on any processor
    Tract,
}

/// Operators that the ONNX parser of TensorRT 8.5 does not support, by its documentation
/// (docs/operators.md of release 8.5).
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

/// Quantised forms that TensorRT 10 does not support either: measured with TensorRT-RTX, the
/// successor of its parser.
const NOT_IN_10: [&str; 5] = [
    "ConvInteger",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
];

impl Target {
    /// Every target, in order of declaration.
    pub const ALL: [Self; 3] = [Self::Tensorrt8, Self::Tensorrt10, Self::Tract];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tensorrt8 => "tensorrt8.5",
            Self::Tensorrt10 => "tensorrt10",
            Self::Tract => "tract",
        }
    }

    pub(super) fn is_tensorrt(self) -> bool {
        self != Self::Tract
    }

    /// The operator sets that it reads, where documented.
    pub(super) fn opsets(self) -> Option<RangeInclusive<i64>> {
        match self {
            Self::Tensorrt8 => Some(7..=17),
            Self::Tensorrt10 => Some(9..=20),
            Self::Tract => None,
        }
    }

    pub(super) fn refuses(self, operator: &str) -> bool {
        match self {
            Self::Tensorrt8 => NOT_IN_8.contains(&operator),
            Self::Tensorrt10 => NOT_IN_10.contains(&operator),
            Self::Tract => false,
        }
    }
}
