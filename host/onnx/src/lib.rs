//! ONNX: [`export`] a network, [`quantize`] a float model to int8, add a [`local_output`] for local matching, [`lint`] a model for an
//! engine.
//!
//! Works on models and images alone; catalogues, photos and reports are the callers'.

pub mod export;
pub mod lint;
pub mod local_output;
pub mod proto;
pub mod quantize;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
