//! Export of trained networks: from a checkpoint to ONNX to a bundle.
//!
//! A crate of its own because it needs trainer, ONNX and evaluation, which do not need each other. None
//! of it needs libtorch.

pub mod detector;
pub mod embedding;
