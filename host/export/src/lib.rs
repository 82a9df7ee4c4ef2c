//! Export of trained networks: from a checkpoint to ONNX to a bundle.
//!
//! A separate crate because it needs trainer, ONNX and evaluation, which do not need each other. It
//! does not need libtorch.

pub mod detector;
pub mod embedding;
pub mod local_matching;
pub mod training_set;
