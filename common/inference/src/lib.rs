//! Inference: engines, the embedder and the fluke detector.

pub mod detector;
pub mod drawn;
pub mod embedder;
pub mod engine;
pub mod golden;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
