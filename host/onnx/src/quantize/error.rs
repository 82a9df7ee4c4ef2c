//! Errors of quantisation.

use crate::proto::read::name_of;
use flukewatch_inference::engine::EngineError;
use std::path::PathBuf;
use tract_onnx::pb::NodeProto;

/// The error of an image that cannot be used.
pub type ImageError = Box<dyn std::error::Error + Send + Sync>;

/// Why a model cannot be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The file is not ONNX, or it is truncated.
    #[error("the model is not a readable ONNX file: {0}")]
    NotOnnx(String),
    /// The model as a whole is unsupported.
    #[error("the model cannot be quantised: {0}")]
    Unsupported(String),
    /// A node is unsupported.
    #[error("the model's node '{node}' ({operator}) cannot be quantised: {why}")]
    Node {
        /// The name of the node or of its output.
        node: String,
        /// The node's operator.
        operator: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// External weights cannot be read.
    #[error("the weights '{tensor}' cannot be read from {path}: {why}")]
    Weights {
        /// Name of the tensor.
        tensor: String,
        /// Path of its file.
        path: PathBuf,
        /// Why it cannot be read.
        why: String,
    },
    /// No layer has this name.
    #[error("unknown layer '{name}'{}", near.as_ref().map(|n| format!("; did you mean '{n}'?")).unwrap_or_default())]
    NoLayer {
        /// The given name.
        name: String,
        /// A layer with a similar name.
        near: Option<String>,
    },
    /// An activation is not finite.
    #[error(
        "the tensor '{tensor}' is not finite on one of the photos; check that mean and standard deviation are those of the model's training"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
    },
    /// There is nothing to measure ranges on.
    #[error("no photos to measure quantisation ranges on")]
    NoImages,
    /// The engine does not run the model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model does not run with inner tensors as outputs.
    #[error("the model cannot be run with its inner tensors as outputs: {0}")]
    Observe(String),
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl QuantizeError {
    pub(super) fn at(node: &NodeProto, why: impl Into<String>) -> Self {
        Self::Node {
            node: name_of(node),
            operator: node.op_type.clone(),
            why: why.into(),
        }
    }
}

impl From<tract_onnx::prelude::TractError> for QuantizeError {
    fn from(error: tract_onnx::prelude::TractError) -> Self {
        Self::Observe(format!("{error:#}").replace('\n', " "))
    }
}
