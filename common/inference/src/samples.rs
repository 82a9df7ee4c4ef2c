//! Tiny models and bundles for the tests of all crates; enabled by the feature `samples`.

mod bundle;
pub mod onnx;

pub use bundle::{CREATED, model_info, passthrough_bundle, preparation};
