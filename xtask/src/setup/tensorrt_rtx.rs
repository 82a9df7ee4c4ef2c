//! TensorRT-RTX in a separate Python environment: it parses models and builds plans without a GPU,
//! and tests compare our lint for TensorRT with it.

use super::environment::Environment;

/// Folder and version.
pub(crate) const TENSORRT_RTX: Environment = Environment {
    folder: ".tools/tensorrt-rtx",
    packages: &["tensorrt-rtx-cu12==1.7.1.116"],
};
