//! Verifies the engines: runs drawn flukes through every engine of the embedding network and compares the
//! embeddings' cosines, and drawn frames through every engine of the detector and compares its maps.

mod detector;

pub use detector::{DetectorSelftest, MapComparison};

use crate::config::EngineSection;
use crate::models::{ModelsError, engine_log};
use flukewatch_common::bundle::{Bundle, BundleTrust, Precision};
use flukewatch_common::embedding::Embedding;
use flukewatch_inference::drawn::{IMAGES, SEED, random_image};
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use flukewatch_inference::engine::agreement::{
    MIN_COSINE_OTHER_PRECISION, MIN_COSINE_SAME_PRECISION,
};
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::{TensorRt, TensorRtError};
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_inference::engine::{Engine, EngineError};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Why the self-test cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// The bundle or one of its models cannot be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// TensorRT is required and cannot start.
    #[error("backend 'tensorrt' is required and cannot start: {0}")]
    Required(TensorRtError),
}

/// The result of a self-test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selftest {
    /// Whether all comparisons passed.
    pub passed: bool,
    /// The engine that the boat will use for the embedding network.
    pub engine: String,
    /// Why that is not TensorRT, where the configuration allows TensorRT.
    pub tensorrt_error: Option<String>,
    /// The detector; null where the bundle has none.
    pub detector: Option<DetectorSelftest>,
    /// All comparisons of embeddings that were made.
    pub comparisons: Vec<Comparison>,
}

/// A comparison of two sets of embeddings of the same drawn flukes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The engine under test.
    pub engine: String,
    /// What it is compared with.
    pub reference: String,
    /// The lowest cosine similarity over all flukes.
    pub lowest_cosine: f32,
    /// The minimum to pass.
    pub minimum: f32,
    /// Whether the lowest cosine reaches the minimum.
    pub passed: bool,
}

impl fmt::Display for Selftest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.tensorrt_error {
            writeln!(f, "TensorRT unavailable: {why}")?;
        }
        for Comparison {
            engine,
            reference,
            lowest_cosine,
            minimum,
            passed,
        } in &self.comparisons
        {
            let word = if *passed { "ok   " } else { "ERROR" };
            writeln!(
                f,
                "{word} {engine} vs {reference}: lowest cosine {lowest_cosine:.4}, minimum {minimum}"
            )?;
        }
        match &self.detector {
            Some(detector) => write!(f, "{detector}")?,
            None => writeln!(f, "detector: none in the bundle")?,
        }
        let result = if self.passed { "passed" } else { "failed" };
        let with = match &self.detector {
            Some(detector) => format!(", detector {}", detector.engine),
            None => String::new(),
        };
        writeln!(
            f,
            "{result}: {} on {IMAGES} drawn flukes{with}",
            self.engine
        )
    }
}

/// Compares the outputs of every engine that can run the models of the bundle at `path`, if `trust` accepts it.
///
/// # Errors
/// When bundle or model cannot be used, or TensorRT is required and cannot start.
pub fn selftest(
    path: &Path,
    trust: &BundleTrust,
    section: &EngineSection,
) -> Result<Selftest, SelftestError> {
    let bundle = Bundle::open_trusted(path, trust).map_err(ModelsError::from)?;
    let model = |source| ModelsError::Model {
        bundle: path.to_owned(),
        source,
    };
    let engine = |e: EngineError| model(e.into());
    let tract = |form| -> Result<Box<dyn Engine>, ModelsError> {
        Ok(Box::new(
            TractEngine::load(&bundle.model, form)
                .and_then(|e| e.on_threads(section.threads))
                .map_err(engine)?,
        ))
    };
    let tested = |engine| Tested::new(&bundle, engine).map_err(model);

    let stripped = tested(tract(TractForm::Dequantised)?)?;
    let as_is = tested(tract(TractForm::AsIs)?)?;
    let mut comparisons = vec![stripped.repeats()];
    if bundle.manifest.model.precision == Precision::Int8 {
        comparisons.push(stripped.against(&as_is, MIN_COSINE_OTHER_PRECISION));
    }
    if !bundle.golden.is_empty() {
        comparisons.push(as_is.against_golden(&bundle, MIN_COSINE_SAME_PRECISION));
        comparisons.push(stripped.against_golden(&bundle, MIN_COSINE_OTHER_PRECISION));
    }
    let mut active = stripped.name.clone();
    let mut tensorrt_error = None;
    if section.backend != EngineChoice::Tract {
        let place = section.tensorrt();
        let started = TensorRt::start(&place, engine_log());
        match started.and_then(|t| t.load(&bundle.model, &|| true)) {
            Ok(engine) => {
                let tensorrt = tested(Box::new(engine))?;
                comparisons.push(tensorrt.repeats());
                comparisons.push(tensorrt.against(&as_is, MIN_COSINE_SAME_PRECISION));
                comparisons.push(tensorrt.against(&stripped, MIN_COSINE_OTHER_PRECISION));
                if !bundle.golden.is_empty() {
                    comparisons.push(tensorrt.against_golden(&bundle, MIN_COSINE_SAME_PRECISION));
                }
                active = tensorrt.name;
            }
            Err(e) if section.backend == EngineChoice::TensorRt => {
                return Err(SelftestError::Required(e));
            }
            Err(e) => tensorrt_error = Some(e.to_string()),
        }
    }
    let detector = detector::selftest(&bundle, section)?;
    let detects = detector.as_ref().is_none_or(DetectorSelftest::passed);
    Ok(Selftest {
        passed: detects && comparisons.iter().all(|c| c.passed),
        engine: active,
        detector,
        tensorrt_error,
        comparisons,
    })
}

/// An engine's embeddings of the drawn flukes, computed twice.
struct Tested {
    name: String,
    first: Vec<Embedding>,
    repeated: Vec<Embedding>,
}

impl Tested {
    fn new(bundle: &Bundle, engine: Box<dyn Engine>) -> Result<Self, EmbedderError> {
        let mut embedder = Embedder::with_engine(bundle, engine)?;
        let mut embed_all = || -> Result<Vec<Embedding>, EmbedderError> {
            (0..IMAGES)
                .map(|number| embedder.embed(&random_image(SEED, number), None))
                .collect()
        };
        let (first, repeated) = (embed_all()?, embed_all()?);
        Ok(Self {
            name: embedder.engine_name().to_owned(),
            first,
            repeated,
        })
    }

    /// Repeatability: equal except for the order of sums on a GPU.
    fn repeats(&self) -> Comparison {
        compare(
            (&self.name, &self.first),
            ("itself, repeated", &self.repeated),
            0.9999,
        )
    }

    /// Against the embeddings computed where the bundle was made, usually on another machine.
    fn against_golden(&self, bundle: &Bundle, minimum: f32) -> Comparison {
        compare(
            (&self.name, &self.first),
            ("the bundle's golden embeddings", &bundle.golden),
            minimum,
        )
    }

    fn against(&self, other: &Self, minimum: f32) -> Comparison {
        compare(
            (&self.name, &self.first),
            (&other.name, &other.first),
            minimum,
        )
    }
}

fn compare(
    (engine, tested): (&str, &[Embedding]),
    (reference, expected): (&str, &[Embedding]),
    minimum: f32,
) -> Comparison {
    let cosines = tested.iter().zip(expected).map(|(a, b)| a.cosine(b));
    // A missing embedding fails.
    let lowest_cosine = if tested.len() == expected.len() {
        cosines.fold(1.0, f32::min)
    } else {
        -1.0
    };
    Comparison {
        engine: engine.to_owned(),
        reference: reference.to_owned(),
        lowest_cosine,
        minimum,
        passed: lowest_cosine >= minimum,
    }
}

#[cfg(test)]
mod tests;
