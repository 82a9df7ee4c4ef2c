//! The engine: what turns a prepared image into the model's numbers.
//!
//! [`Engine`] is one image in, one vector out. [`tract`] runs everywhere in pure Rust, [`tensorrt`] on NVIDIA's GPUs; both are held
//! to the same tests. [`choice`] opens the one that a boat is told to use. A quantised model is one ONNX file with QuantizeLinear and DequantizeLinear
//! for every engine; what an engine makes of them is its own affair.

pub mod agreement;
pub mod choice;
#[cfg(test)]
mod conformance;
mod form;
pub mod handover;
pub mod status;
pub mod strip;
pub mod tensorrt;
pub mod tract;

use ndarray::ArrayView3;
use std::sync::Arc;

/// The largest input that an engine takes, in pixels a side.
pub const MAX_INPUT_SIDE: usize = 4096;

/// Runs one model.
pub trait Engine: Send {
    /// What runs, for people and for the record of a sighting: `tract 0.23.9 f32`.
    fn name(&self) -> &str;
    /// `[C, H, W]` of the input.
    fn input_shape(&self) -> [usize; 3];
    /// How many numbers come out.
    fn dimension(&self) -> usize;
    /// Runs the model on one image `[C, H, W] f32`; gives its output `[D] f32`, not normalised.
    ///
    /// # Errors
    /// [`EngineError::Shape`] for an image of another shape, [`EngineError::Run`] when the engine fails.
    fn run(&mut self, input: ArrayView3<f32>) -> Result<Vec<f32>, EngineError>;
}

/// How much a line of an engine's matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For who looks closely.
    Detail,
    /// For the log.
    Info,
    /// Something is not as it should be.
    Warning,
}

/// Who hears what an engine does meanwhile; from any thread.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Refuses an image of another shape than the model takes.
fn expect_shape(expected: [usize; 3], input: &ArrayView3<f32>) -> Result<(), EngineError> {
    let got = input.dim().into();
    if got == expected {
        Ok(())
    } else {
        Err(EngineError::Shape { expected, got })
    }
}

/// Why a model cannot be loaded or run.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// Not an ONNX file, or cut off.
    #[error("the model is not a readable ONNX file: {0}")]
    NotOnnx(String),
    /// An ONNX model, but not from one image to one embedding.
    #[error("the model does not fit: {0}")]
    Unsupported(String),
    /// Quantised in a way that cannot be undone.
    #[error("the model's node '{node}' cannot be read as quantised: {why}")]
    Quantisation {
        /// The node's name, or its output's where it has none.
        node: String,
        /// What is wrong with it.
        why: String,
    },
    /// The engine cannot run it.
    #[error("the model cannot be loaded: {0}")]
    Load(String),
    /// Another image than the model takes.
    #[error(
        "the model takes images of {expected:?} (channels, height, width), but one of {got:?} came"
    )]
    Shape {
        /// The model's.
        expected: [usize; 3],
        /// The image's.
        got: [usize; 3],
    },
    /// The engine failed on an image.
    #[error("the model failed on an image: {0}")]
    Run(String),
}
