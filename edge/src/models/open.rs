//! The models of a configuration, ready to run.

use super::detector::open_detector;
use super::engine_log::engine_log;
use crate::config::Config;
use crate::detect::Detect;
use crate::identification::Identifier;
use flukewatch_common::bundle::{Bundle, BundleError};
use flukewatch_inference::detector::DetectorError;
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use flukewatch_inference::engine::choice::{self, OpenError, OpenedEngine};
use flukewatch_inference::engine::status::EngineStatus;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a bundle's models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The bundle cannot be opened.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The embedding network cannot be used.
    #[error("the model of {}: {source}", .bundle.display())]
    Model {
        /// Path of the bundle.
        bundle: PathBuf,
        /// The error of the embedding network.
        source: EmbedderError,
    },
    /// The embedding network's engine cannot be started.
    #[error("the model of {}: {source}", .bundle.display())]
    Engine {
        /// Path of the bundle.
        bundle: PathBuf,
        /// The error of the engine.
        source: OpenError,
    },
    /// The detector cannot be used.
    #[error(transparent)]
    Detector(#[from] DetectorError),
}

/// The models of a configuration. Loading takes seconds and touches neither cameras nor outbox, so
/// that a reload can load them while the previous session runs.
pub struct Models {
    /// Embeds crops and matches them.
    pub identifier: Identifier,
    /// The engine in use and the accelerator's state.
    pub engine: Arc<EngineStatus>,
    /// Finds flukes, where the bundle has a detector and the configuration enables it.
    pub detector: Option<Box<dyn Detect>>,
    /// The lowest score of a detection; 0 without a detector.
    pub detection_threshold: f32,
    /// Padding around a crop, as a fraction of the box's sides, that the model needs.
    pub crop_padding: f32,
    /// Height and width of the model's input, in pixels.
    pub input_size: (u32, u32),
}

/// Opens the bundle of `config` with its embedding network alone.
///
/// # Errors
/// When one of them cannot be used.
pub fn open_identifier(config: &Config) -> Result<Identifier, ModelsError> {
    let bundle = open_bundle(config)?;
    let (embedder, _) = open_embedder(config, &bundle)?;
    Ok(Identifier::new(bundle, embedder))
}

fn open_bundle(config: &Config) -> Result<Bundle, ModelsError> {
    let path = &config.bundle.path;
    let bundle = open_copied(path, &config.outbox.path)?;
    if let Some(warning) = bundle.decision.warning() {
        tracing::warn!(bundle = %path.display(), "decision rule: {warning}");
    }
    Ok(bundle)
}

/// The bundle at `path`, with copies of its large parts near `outbox`, so that whoever replaces it in place does not break the
/// searches of a running boat.
fn open_copied(path: &Path, outbox: &Path) -> Result<Bundle, BundleError> {
    // The outbox is created after the models are loaded.
    let folder = outbox.ancestors().find(|f| f.is_dir());
    match Bundle::open_copied(path, folder.unwrap_or(Path::new("."))) {
        Err(error @ BundleError::Copy { .. }) => {
            tracing::warn!(
                bundle = %path.display(),
                "mapping the bundle itself; do not modify it in place: {error}"
            );
            Bundle::open(path)
        }
        opened => opened,
    }
}

fn open_embedder(
    config: &Config,
    bundle: &Bundle,
) -> Result<(Embedder, Arc<EngineStatus>), ModelsError> {
    let path = &config.bundle.path;
    let OpenedEngine { engine, status } = choice::open(
        bundle,
        config.engine.backend,
        config.engine.threads,
        &config.engine.tensorrt(),
        engine_log(),
    )
    .map_err(|source| ModelsError::Engine {
        bundle: path.clone(),
        source,
    })?;
    let embedder = Embedder::with_engine(bundle, engine).map_err(|source| ModelsError::Model {
        bundle: path.clone(),
        source,
    })?;
    Ok((embedder, status))
}

impl Models {
    /// Opens the bundle of `config` and loads its models.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(config: &Config) -> Result<Self, ModelsError> {
        let bundle = open_bundle(config)?;
        let (embedder, status) = open_embedder(config, &bundle)?;
        let detector = if config.detector.enabled {
            open_detector(&bundle, config.detector.threshold as f32)?
        } else {
            None
        };
        if detector.is_none() {
            tracing::info!("no detector; a frame without boxes counts as one fluke");
        }
        let preparation = &bundle.manifest.preparation;
        let (crop_padding, input_size) =
            (preparation.padding, (preparation.height, preparation.width));
        Ok(Self {
            identifier: Identifier::new(bundle, embedder),
            engine: status,
            detection_threshold: detector.as_ref().map_or(0.0, |d| d.threshold()),
            detector: detector.map(|d| -> Box<dyn Detect> { Box::new(d) }),
            crop_padding,
            input_size,
        })
    }
}
