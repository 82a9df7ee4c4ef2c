//! ONNX Runtime in a Python environment of its own: tests compare what an exported model computes in it.

use super::environment::Environment;

/// Where it is, and of which version.
pub(crate) const ONNX_RUNTIME: Environment = Environment {
    folder: ".tools/onnxruntime",
    packages: &["onnxruntime==1.32.0", "numpy==2.4.6"],
};
