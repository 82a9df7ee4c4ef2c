//! The models of a configuration, ready to run.

use super::detector::at_threshold;
use super::engine_log::engine_log;
use crate::bundle_trust::{VerifiedSignature, bundle_trust};
use crate::config::Config;
use crate::identification::Identifier;
use crate::received_bundles::ReceivedBundles;
use flukewatch_common::bundle::{Bundle, BundleError, BundleTrust};
use flukewatch_common::clock::SystemClock;
use flukewatch_inference::detector::{Detector, DetectorError};
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use flukewatch_inference::engine::choice::{
    self, EngineModel, EngineSetup, OpenError, OpenedEngine,
};
use flukewatch_inference::engine::plan_queue::PlanQueue;
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
    /// The engine of the embedding network or of the detector cannot be started.
    #[error("the {model} of {}: {source}", .bundle.display())]
    Engine {
        /// Path of the bundle.
        bundle: PathBuf,
        /// `model` or `detector`.
        model: &'static str,
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
    /// The engine of the embedding network and its accelerator's state.
    pub engine: Arc<EngineStatus>,
    /// Finds flukes, where the bundle has a detector and the configuration enables it.
    pub detector: Option<OpenedDetector>,
    /// What perception must know of both.
    pub needs: PerceptionNeeds,
    /// The bundle's signature; `None` where every bundle is used.
    pub signature: Option<VerifiedSignature>,
}

/// What perception must know of the models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerceptionNeeds {
    /// The lowest score of a detection; 0 without a detector.
    pub detection_threshold: f32,
    /// Padding around a crop, as a fraction of the box's sides, that the model needs.
    pub crop_padding: f32,
    /// Height and width of the model's input, in pixels.
    pub input_size: (u32, u32),
}

/// A detector and its engine.
pub struct OpenedDetector {
    /// The detector.
    pub detector: Detector,
    /// Its engine and its accelerator's state.
    pub engine: Arc<EngineStatus>,
}

impl Models {
    /// Opens the bundle of `config` and loads its models; `plans` has those that are prepared for the accelerator.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(config: &Config, plans: &PlanQueue) -> Result<Self, ModelsError> {
        let path = ReceivedBundles::of(config).path_in_use();
        let (bundle, signature) = open_bundle(config, &path)?;
        // First, so that it gets the accelerator first: it is what the boat sees with.
        let detector = open_detector(config, &bundle, &path, plans)?;
        if detector.is_none() {
            tracing::info!("no detector; a frame without boxes counts as one fluke");
        }
        let (embedder, engine) = open_embedder(config, &bundle, &path, plans)?;
        let preparation = &bundle.manifest.preparation;
        let threshold = detector.as_ref().map(|d| d.detector.threshold());
        let needs = PerceptionNeeds {
            detection_threshold: threshold.unwrap_or(0.0),
            crop_padding: preparation.padding,
            input_size: (preparation.height, preparation.width),
        };
        Ok(Self {
            identifier: Identifier::new(bundle, embedder),
            engine,
            detector,
            needs,
            signature,
        })
    }
}

/// Opens the bundle of `config` with its embedding network alone; `plans` has the models that are prepared for the
/// accelerator.
///
/// # Errors
/// When one of them cannot be used.
pub fn open_identifier(config: &Config, plans: &PlanQueue) -> Result<Identifier, ModelsError> {
    let path = ReceivedBundles::of(config).path_in_use();
    let (bundle, _) = open_bundle(config, &path)?;
    let (embedder, _) = open_embedder(config, &bundle, &path, plans)?;
    Ok(Identifier::new(bundle, embedder))
}

/// The bundle at `path`, if the boat uses it, and its signature.
fn open_bundle(
    config: &Config,
    path: &Path,
) -> Result<(Bundle, Option<VerifiedSignature>), ModelsError> {
    let trust = bundle_trust(config, &SystemClock);
    let bundle = open_copied(path, &trust, &config.outbox.path)?;
    let signature = VerifiedSignature::of(&bundle, &trust);
    if let Some(warning) = bundle.decision.warning() {
        tracing::warn!(bundle = %path.display(), "decision rule: {warning}");
    }
    Ok((bundle, signature))
}

/// The bundle at `path`, with copies of its large parts near `outbox`, so that whoever replaces it in place does not break the
/// searches of a running boat.
fn open_copied(path: &Path, trust: &BundleTrust, outbox: &Path) -> Result<Bundle, BundleError> {
    // The outbox is created after the models are loaded.
    let folder = outbox.ancestors().find(|f| f.is_dir());
    match Bundle::open_copied(path, trust, folder.unwrap_or(Path::new("."))) {
        Err(error @ BundleError::Copy { .. }) => {
            tracing::warn!(
                bundle = %path.display(),
                "mapping the bundle itself; do not modify it in place: {error}"
            );
            Bundle::open_trusted(path, trust)
        }
        opened => opened,
    }
}

fn open_embedder(
    config: &Config,
    bundle: &Bundle,
    path: &Path,
    plans: &PlanQueue,
) -> Result<(Embedder, Arc<EngineStatus>), ModelsError> {
    let opened = open_engine(config, &Embedder::engine_model(bundle), path, plans)?;
    let embedder =
        Embedder::with_engine(bundle, opened.engine).map_err(|source| ModelsError::Model {
            bundle: path.to_owned(),
            source,
        })?;
    Ok((embedder, opened.status))
}

fn open_detector(
    config: &Config,
    bundle: &Bundle,
    path: &Path,
    plans: &PlanQueue,
) -> Result<Option<OpenedDetector>, ModelsError> {
    let (Some(info), Some(model)) = (&bundle.manifest.detector, Detector::engine_model(bundle))
    else {
        return Ok(None);
    };
    if !config.detector.enabled {
        return Ok(None);
    }
    let opened = open_engine(config, &model, path, plans)?;
    let detector = Detector::with_engine(&bundle.manifest.name, info, opened.engine)?;
    Ok(Some(OpenedDetector {
        detector: at_threshold(detector, config.detector.threshold as f32),
        engine: opened.status,
    }))
}

fn open_engine(
    config: &Config,
    model: &EngineModel,
    path: &Path,
    plans: &PlanQueue,
) -> Result<OpenedEngine, ModelsError> {
    let setup = EngineSetup {
        choice: config.engine.backend,
        threads: config.engine.threads,
        tensorrt: config.engine.tensorrt(),
        queue: plans.clone(),
        log: engine_log(),
    };
    choice::open(model, &setup).map_err(|source| ModelsError::Engine {
        bundle: path.to_owned(),
        model: model.name,
        source,
    })
}
