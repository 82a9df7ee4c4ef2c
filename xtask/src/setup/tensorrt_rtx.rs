//! TensorRT-RTX in a Python environment of its own: it parses models and builds plans without a GPU, and tests ask it what we say of TensorRT.

use super::environment::Environment;

/// Where it is, and of which version.
pub(crate) const TENSORRT_RTX: Environment = Environment {
    folder: ".tools/tensorrt-rtx",
    packages: &["tensorrt-rtx-cu12==1.7.1.116"],
};
