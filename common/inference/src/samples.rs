//! Tiny models and bundles for the tests of all crates; enabled by the feature `samples`.

mod bundle;
mod detector;
pub mod onnx;

pub use bundle::{CREATED, model_info, passthrough_bundle, preparation};
pub use detector::{detector_info, detector_model, detector_model_with};
