//! From trained weights to the model that a boat runs: normalisation folded, written as ONNX, quantised to int8.
//!
//! [`fold`] turns a [`crate::network::Network`] and its weights into plain convolutions with bias, [`onnx`] writes them,
//! [`calibrate`] measures the activations on photos and [`quantise`] puts QuantizeLinear and DequantizeLinear around them.

pub mod calibrate;
pub mod command;
pub mod fold;
pub mod histogram;
pub mod observe;
pub mod onnx;
pub mod quantise;

use crate::network::Network;
use crate::network::weights::{Weights, WeightsError};
use flukewatch_common::engine::EngineError;
use ndarray::Array3;
use prost::Message;

/// Why a model cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The weights are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model runs nowhere.
    #[error("the exported model cannot be run for calibration: {0}")]
    Calibration(String),
    /// Nothing to calibrate on.
    #[error("calibration needs photos")]
    NoPhotos,
    /// The engine that the boat has refuses it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The network as an ONNX file of 32-bit floats, for one image `[1, C, height, width] f32`, normalised as the preparation says,
/// to one embedding `[1, D] f32`, L2-normalised.
///
/// # Errors
/// When weights are missing or of another shape.
pub fn float_model(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
) -> Result<Vec<u8>, ExportError> {
    Ok(onnx::write(&fold::fold(network, weights, height, width)?).encode_to_vec())
}

/// The same with weights and activations in int8, by Q/DQ; scales are measured on `photos`, normalised `[C, height, width]`, but
/// for those that a training with rounding has settled.
///
/// # Errors
/// When weights are missing or of another shape, or there is no photo.
pub fn int8_model(
    network: &Network,
    weights: &Weights,
    height: usize,
    width: usize,
    photos: &[Array3<f32>],
) -> Result<Vec<u8>, ExportError> {
    let folded = fold::fold(network, weights, height, width)?;
    let mut ranges = calibrate::ranges(&folded, photos)?;
    for (id, step) in folded.steps.iter().enumerate() {
        let trained = weights.get(&format!("{}{}", quantise::TRAINED_RANGE, step.node));
        if let (Some(range), Some(trained)) = (
            ranges.get_mut(&onnx::name_of(id)),
            trained.and_then(|v| v.data.first()),
        ) {
            *range = *trained;
        }
    }
    Ok(quantise::write(&folded, &ranges).encode_to_vec())
}
