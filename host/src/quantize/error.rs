//! Why a model is not quantised.

use crate::dataset::DatasetError;
use crate::inspect::graph::name_of;
use flukewatch_common::engine::EngineError;
use std::path::PathBuf;
use tract_onnx::pb::NodeProto;

/// Why a model is not quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// No ONNX file, or cut off.
    #[error("the model is not a readable ONNX file: {0}")]
    NotOnnx(String),
    /// The model as a whole.
    #[error("the model cannot be quantised: {0}")]
    Unfit(String),
    /// One of its nodes.
    #[error("the model's node '{node}' ({operator}) cannot be quantised: {why}")]
    Node {
        /// The node's name, or that of what it makes.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Weights that lie in a file of their own.
    #[error("the weights '{tensor}' cannot be read from {path}: {why}")]
    Weights {
        /// Which.
        tensor: String,
        /// Where they should be.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A layer that is to stay in float and is none.
    #[error("the model has no layer '{name}' to keep in float{}", near.as_ref().map(|n| format!("; there is '{n}'")).unwrap_or_default())]
    NoLayer {
        /// What was asked for.
        name: String,
        /// A layer with a name like it.
        near: Option<String>,
    },
    /// An activation of no use.
    #[error("the tensor '{tensor}' holds values that are not finite on a calibration photo: {why}")]
    NotFinite {
        /// Which.
        tensor: String,
        /// What may be the cause.
        why: String,
    },
    /// Nothing to calibrate on.
    #[error("calibration needs photos")]
    NoPhotos,
    /// The float model does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model with inner tensors as outputs does not run.
    #[error("the model cannot be run with its inner tensors as outputs: {0}")]
    Observe(String),
    /// A photo.
    #[error(transparent)]
    Photo(#[from] DatasetError),
}

impl QuantizeError {
    /// A fault of a node.
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
