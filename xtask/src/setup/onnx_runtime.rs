//! ONNX Runtime in a separate Python environment: tests compare an exported model's output with
//! that in ONNX Runtime.

use super::environment::Environment;

/// Folder and version.
pub(crate) const ONNX_RUNTIME: Environment = Environment {
    folder: ".tools/onnxruntime",
    packages: &["onnxruntime==1.32.0", "numpy==2.4.6"],
};
