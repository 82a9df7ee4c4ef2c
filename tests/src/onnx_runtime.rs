//! ONNX Runtime as a reference for what an exported model computes.
//!
//! It runs in Python, in the environment `.tools/onnxruntime` that `cargo xtask setup` makes.

use crate::program::repository;
use ndarray::Array3;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python interpreter with ONNX Runtime; `None` where it is not set up.
pub fn python() -> Option<PathBuf> {
    let python = repository().join(".tools/onnxruntime/bin/python");
    python.is_file().then_some(python)
}

/// How ONNX Runtime runs a quantised model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The default: with fused integer kernels, which round differently.
    Fused,
    /// Node by node, as in the file.
    Unfused,
}

/// The outputs of an ONNX model, `[D]` in f32, for each of `images`, which are normalised `[C, H, W]`
/// in f32 and have the same shape.
///
/// # Panics
/// When ONNX Runtime cannot run the model, or the temporary files cannot be written.
pub fn run(python: &Path, model: &[u8], images: &[Array3<f32>], form: Form) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let numbers: Vec<u8> = images
        .iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    fs::write(path("model.onnx"), model).unwrap();
    fs::write(path("images.f32"), numbers).unwrap();
    let output = Command::new(python)
        .arg(repository().join("tests/onnx_runtime.py"))
        .args(["model.onnx", "images.f32", "outputs.f32"].map(path))
        .arg(if form == Form::Fused {
            "fused"
        } else {
            "unfused"
        })
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = fs::read(path("outputs.f32")).unwrap();
    let values: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    assert!(!images.is_empty() && values.len().is_multiple_of(images.len()));
    values
        .chunks_exact(values.len() / images.len())
        .map(<[f32]>::to_vec)
        .collect()
}
