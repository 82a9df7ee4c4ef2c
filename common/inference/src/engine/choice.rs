//! Opens the configured engine for a bundle's model.

use super::agreement::{MIN_COSINE_SAME_PRECISION, agreement, random_inputs};
use super::handover::HandoverEngine;
use super::status::{Accelerator, EngineStatus};
use super::tensorrt::{TensorRt, TensorRtConfig, TensorRtError};
use super::tract::{TractEngine, TractForm};
use super::{Engine, EngineError, LogSink};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::prepare::Preparation;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The seed of the images on which engines are compared.
pub const SEED: u64 = 20_261_125;

/// The engine in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// TensorRT once it is ready and agrees with tract; tract until then and otherwise.
    #[default]
    Auto,
    /// Always tract.
    Tract,
    /// TensorRT, without falling back to tract.
    TensorRt,
}

impl EngineChoice {
    /// The name in the configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tract => "tract",
            Self::TensorRt => "tensorrt",
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of an unknown engine name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown engine '{0}'; expected auto, tract or tensorrt")]
pub struct UnknownEngine(String);

impl FromStr for EngineChoice {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        [Self::Auto, Self::Tract, Self::TensorRt]
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| UnknownEngine(text.into()))
    }
}

/// Errors of opening an engine.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] EngineError),
    /// TensorRT is required and failed.
    #[error("the engine 'tensorrt' is required and cannot start: {0}")]
    Required(#[from] TensorRtError),
    /// A thread cannot be created.
    #[error("cannot create the thread that prepares the accelerator: {0}")]
    Thread(#[from] std::io::Error),
}

/// An engine and its status.
pub struct OpenedEngine {
    /// The engine, with the bundle's model loaded.
    pub engine: Box<dyn Engine>,
    /// The status of the engine, readable from any thread.
    pub status: Arc<EngineStatus>,
}

/// Opens the configured engine; tract runs on `threads` threads. `tensorrt` takes as long as its
/// plan takes to build; `auto` starts at once with tract.
///
/// # Errors
/// When the model cannot be loaded, or TensorRT is required and cannot start.
pub fn open(
    bundle: &Bundle,
    choice: EngineChoice,
    threads: usize,
    place: &TensorRtConfig,
    log: LogSink,
) -> Result<OpenedEngine, OpenError> {
    if choice == EngineChoice::TensorRt {
        let preparation = &bundle.manifest.preparation;
        let engine = tensorrt(&bundle.model, preparation, place, log, &|| true)?;
        let status = Arc::new(EngineStatus::new(engine.name(), Accelerator::Active));
        return Ok(OpenedEngine { engine, status });
    }
    let tract = TractEngine::load(&bundle.model, TractForm::Dequantised)?.on_threads(threads)?;
    let tract: Box<dyn Engine> = Box::new(tract);
    let alone = |accelerator| Arc::new(EngineStatus::new(tract.name(), accelerator));
    if choice == EngineChoice::Tract {
        let status = alone(Accelerator::Disabled);
        return Ok(OpenedEngine {
            engine: tract,
            status,
        });
    }
    if let Err(none) = place.find_shims() {
        let status = alone(Accelerator::Unavailable(none.to_string()));
        return Ok(OpenedEngine {
            engine: tract,
            status,
        });
    }
    let status = Arc::new(EngineStatus::default());
    let make = {
        let (model, preparation) = (bundle.model.clone(), bundle.manifest.preparation.clone());
        let (place, log) = (place.clone(), log.clone());
        move |should_continue: &(dyn Fn() -> bool + Sync)| {
            tensorrt(&model, &preparation, &place, log, should_continue)
        }
    };
    let engine = HandoverEngine::start(tract, status.clone(), log, make)?;
    Ok(OpenedEngine {
        engine: Box::new(engine),
        status,
    })
}

/// Loads the model into TensorRT and checks that it agrees with tract.
fn tensorrt(
    model: &[u8],
    preparation: &Preparation,
    place: &TensorRtConfig,
    log: LogSink,
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Result<Box<dyn Engine>, TensorRtError> {
    let mut engine = TensorRt::start(place, log)?.load(model, should_continue)?;
    let mut tract = TractEngine::load(model, TractForm::AsIs)?;
    let images =
        random_inputs(preparation, SEED).map_err(|e| EngineError::Unsupported(e.to_string()))?;
    let found = agreement(&mut engine, &mut tract, &images)?;
    if found.lowest < MIN_COSINE_SAME_PRECISION {
        return Err(TensorRtError::Disagrees(format!(
            "the cosine of their embeddings of a drawn fluke is {:.4}, below {MIN_COSINE_SAME_PRECISION}",
            found.lowest
        )));
    }
    Ok(Box::new(engine))
}

#[cfg(test)]
mod tests;
