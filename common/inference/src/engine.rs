//! The engine: runs a model on a prepared image.
//!
//! An [`Engine`] takes one image and gives one vector, and a map of local descriptors where the model has
//! that second output. [`tract`] runs everywhere in pure Rust,
//! [`tensorrt`] on NVIDIA GPUs; both must pass the same conformance suite. [`choice`] opens the
//! configured one. A quantised model is the same ONNX file with QuantizeLinear and DequantizeLinear
//! for every engine; each engine decides how to run them.

pub mod agreement;
pub mod choice;
#[cfg(test)]
mod conformance;
mod form;
pub mod handover;
mod packed;
pub mod plan_queue;
pub mod status;
pub mod strip;
pub mod tensorrt;
pub mod tract;

use ndarray::ArrayView3;
use std::sync::Arc;

/// The largest input of a model, in pixels per side.
pub const MAX_INPUT_SIDE: usize = 4096;

/// Runs one model, one image at a time.
pub trait Engine: Send {
    /// The name of the engine, for display and for the record of a sighting, e.g.
    /// `tract 0.23.9 f32`.
    fn name(&self) -> &str;
    /// The shape of the input, `[C, H, W]`.
    fn input_shape(&self) -> [usize; 3];
    /// The number of outputs, `D`.
    fn dimension(&self) -> usize;
    /// Runs the model on one image `[C, H, W] f32`; gives its output `[D] f32`, not normalised.
    ///
    /// # Errors
    /// [`EngineError::Shape`] for an image of another shape, [`EngineError::Run`] when the engine fails.
    fn run(&mut self, input: ArrayView3<f32>) -> Result<Vec<f32>, EngineError>;

    /// The shape of the second output, `[C, H, W]`; `None` for a model without one.
    fn local_shape(&self) -> Option<[usize; 3]> {
        None
    }

    /// Like [`Engine::run`], with the second output.
    ///
    /// # Errors
    /// Those of [`Engine::run`].
    fn run_with_local(&mut self, input: ArrayView3<f32>) -> Result<Outputs, EngineError> {
        Ok(Outputs {
            embedding: self.run(input)?,
            local: None,
        })
    }
}

/// The outputs of a model for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// `[D] f32`, not normalised.
    pub embedding: Vec<f32>,
    /// The second output, `[C, H, W] f32`, if the model has one.
    pub local: Option<Vec<f32>>,
}

/// The level of a log line of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Detail for debugging.
    Detail,
    /// A normal event.
    Info,
    /// A failure or degradation.
    Warning,
}

/// Receives the log lines of an engine, from any thread.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Rejects an image of another shape than the model expects.
fn expect_shape(expected: [usize; 3], input: &ArrayView3<f32>) -> Result<(), EngineError> {
    let got = input.dim().into();
    if got == expected {
        Ok(())
    } else {
        Err(EngineError::Shape { expected, got })
    }
}

/// Errors of loading or running a model.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// The file is not ONNX, or it is truncated.
    #[error("the model is not a readable ONNX file: {0}")]
    NotOnnx(String),
    /// The ONNX model does not map one image to one vector.
    #[error("the model does not fit: {0}")]
    Unsupported(String),
    /// The quantisation of a node cannot be reverted to floats.
    #[error("the model's node '{node}' cannot be read as quantised: {why}")]
    Quantisation {
        /// The node's name, or its output's if it has none.
        node: String,
        /// What is wrong with it.
        why: String,
    },
    /// The engine cannot run it.
    #[error("the model cannot be loaded: {0}")]
    Load(String),
    /// The image has another shape than the model expects.
    #[error("image of shape {got:?}; the model expects {expected:?} (channels, height, width)")]
    Shape {
        /// The model's input, `[C, H, W]`.
        expected: [usize; 3],
        /// The shape of the image.
        got: [usize; 3],
    },
    /// The engine failed on an image.
    #[error("the model failed on an image: {0}")]
    Run(String),
}
