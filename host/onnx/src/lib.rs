//! ONNX: [`export`] a network, [`quantize`] a float model to int8, [`lint`] a model for an engine.
//!
//! Works on models and images alone; catalogues, photos and reports are the callers'.

pub mod export;
pub mod lint;
pub mod proto;
pub mod quantize;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
