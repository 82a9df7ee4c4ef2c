//! Opens the configured engine for a model, be it a bundle's embedding network or its detector.

use super::agreement::AgreementCheck;
use super::handover::HandoverEngine;
use super::plan_queue::PlanQueue;
use super::status::{Accelerator, EngineStatus};
use super::tensorrt::{TensorRt, TensorRtConfig, TensorRtError};
use super::tract::{TractEngine, TractForm};
use super::{Engine, EngineError, LogLevel, LogSink};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

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

/// A model that an engine is opened for.
#[derive(Clone)]
pub struct EngineModel {
    /// Its name in the log, e.g. `detector`.
    pub name: &'static str,
    /// Its ONNX file.
    pub onnx: Arc<[u8]>,
    /// Judges whether TensorRT runs it like tract.
    pub agreement: Arc<dyn AgreementCheck>,
}

/// What engines are opened with.
#[derive(Clone)]
pub struct EngineSetup {
    /// The configured engine.
    pub choice: EngineChoice,
    /// The number of threads that tract uses.
    pub threads: usize,
    /// Where TensorRT is, and how it builds plans. Models share the folder of plans.
    pub tensorrt: TensorRtConfig,
    /// The models that are prepared for the accelerator.
    pub queue: PlanQueue,
    /// Receives the log of the engines.
    pub log: LogSink,
}

/// An engine and its status.
pub struct OpenedEngine {
    /// The engine, with the model loaded.
    pub engine: Box<dyn Engine>,
    /// The status of the engine, readable from any thread.
    pub status: Arc<EngineStatus>,
}

/// Opens the configured engine for `model`. `tensorrt` takes as long as its plan takes to build; `auto` starts at
/// once with tract. Of several models, the one that is opened first is prepared for TensorRT first.
///
/// # Errors
/// When the model cannot be loaded, or TensorRT is required and cannot start.
pub fn open(model: &EngineModel, setup: &EngineSetup) -> Result<OpenedEngine, OpenError> {
    if setup.choice == EngineChoice::TensorRt {
        let turn = setup.queue.enter();
        turn.wait(&|| true);
        let engine = tensorrt(model, setup, &|| true)?;
        let status = Arc::new(EngineStatus::new(engine.name(), Accelerator::Active));
        return Ok(OpenedEngine { engine, status });
    }
    let tract = TractEngine::load(&model.onnx, TractForm::Dequantised)?;
    let tract: Box<dyn Engine> = Box::new(tract.on_threads(setup.threads)?);
    let alone = |accelerator| Arc::new(EngineStatus::new(tract.name(), accelerator));
    if setup.choice == EngineChoice::Tract {
        let status = alone(Accelerator::Disabled);
        return Ok(OpenedEngine {
            engine: tract,
            status,
        });
    }
    if let Err(none) = setup.tensorrt.find_shims() {
        let status = alone(Accelerator::Unavailable(none.to_string()));
        return Ok(OpenedEngine {
            engine: tract,
            status,
        });
    }
    let status = Arc::new(EngineStatus::default());
    let log = log_of(model, setup);
    let turn = setup.queue.enter();
    let make = {
        let (model, setup) = (model.clone(), setup.clone());
        move |should_continue: &(dyn Fn() -> bool + Sync)| {
            if turn.wait(should_continue) {
                tensorrt(&model, &setup, should_continue)
            } else {
                Err(TensorRtError::Stopped)
            }
        }
    };
    let engine = HandoverEngine::start(tract, status.clone(), log, make)?;
    Ok(OpenedEngine {
        engine: Box::new(engine),
        status,
    })
}

/// The log, with the name of the model before each line.
fn log_of(model: &EngineModel, setup: &EngineSetup) -> LogSink {
    let (name, log) = (model.name, setup.log.clone());
    Arc::new(move |level, line| log(level, &format!("{name}: {line}")))
}

/// Loads the model into TensorRT and checks that it agrees with tract.
fn tensorrt(
    model: &EngineModel,
    setup: &EngineSetup,
    should_continue: &(dyn Fn() -> bool + Sync),
) -> Result<Box<dyn Engine>, TensorRtError> {
    log_of(model, setup)(LogLevel::Info, "preparing TensorRT");
    // TensorRT's own log has no name: it is one for all models.
    let started = TensorRt::start(&setup.tensorrt, setup.log.clone())?;
    let mut engine = started.load(&model.onnx, should_continue)?;
    let mut tract = TractEngine::load(&model.onnx, TractForm::AsIs)?;
    match model.agreement.difference(&mut engine, &mut tract)? {
        None => Ok(Box::new(engine)),
        Some(why) => Err(TensorRtError::Disagrees(why)),
    }
}

#[cfg(test)]
mod tests;
