//! ONNX Runtime, as a second opinion on what an exported model computes.
//!
//! It runs in Python, in the environment `.tools/onnxruntime` that `cargo xtask setup` makes.

use crate::program::repository;
use ndarray::Array3;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Python with ONNX Runtime is; `None` where nobody set it up.
pub fn python() -> Option<PathBuf> {
    let python = repository().join(".tools/onnxruntime/bin/python");
    python.is_file().then_some(python)
}

/// How a quantised model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As people run it: with integer kernels, which round their own way.
    Fused,
    /// Node by node, as the file says.
    Unfused,
}

/// The outputs `[D] f32` of an ONNX model for each of `images`, normalised `[C, H, W] f32`, all of one shape.
///
/// # Panics
/// When ONNX Runtime refuses the model or the machine refuses the files.
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
