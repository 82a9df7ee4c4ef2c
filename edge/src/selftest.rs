//! Whether the engine's embeddings can be trusted: drawn flukes through every engine, and the cosines between what they give.

use crate::config::EngineSection;
use flukewatch_common::bundle::{Bundle, BundleError, Precision};
use flukewatch_common::detector::DetectorError;
use flukewatch_common::embedder::{Embedder, EmbedderError};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::engine::agreement::{IMAGES, OTHER_ROUNDING, SAME_ROUNDING, drawn_photo};
use flukewatch_common::engine::choice::{EngineChoice, SEED};
use flukewatch_common::engine::tensorrt::{TensorRt, TensorRtError};
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use flukewatch_common::engine::{Engine, EngineError};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SelftestError {
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle's model.
    #[error("the model of {}: {source}", .bundle.display())]
    Model {
        /// The bundle.
        bundle: PathBuf,
        /// What is wrong.
        source: EmbedderError,
    },
    /// The bundle's detector.
    #[error(transparent)]
    Detector(#[from] DetectorError),
    /// TensorRT was demanded.
    #[error("the engine 'tensorrt' is demanded and does not start: {0}")]
    Demanded(TensorRtError),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selftest {
    /// Yes or no.
    pub passed: bool,
    /// The engine that the boat would use.
    pub engine: String,
    /// Why that is not TensorRT, where the configuration would have it.
    pub why_not_tensorrt: Option<String>,
    /// What looks for flukes.
    pub detector: &'static str,
    /// What was compared.
    pub comparisons: Vec<Comparison>,
}

/// Two engines beside each other, or one beside itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// One engine.
    pub one: String,
    /// The other.
    pub other: String,
    /// The lowest cosine between their embeddings of the same fluke.
    pub lowest_cosine: f32,
    /// What it must be at least.
    pub demanded: f32,
    /// Whether it is.
    pub passed: bool,
}

impl fmt::Display for Selftest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.why_not_tensorrt {
            writeln!(f, "TensorRT does not serve: {why}")?;
        }
        for Comparison {
            one,
            other,
            lowest_cosine,
            demanded,
            passed,
        } in &self.comparisons
        {
            let word = if *passed { "ok   " } else { "FAULT" };
            writeln!(
                f,
                "{word} {one} beside {other}: lowest cosine {lowest_cosine:.4}, demanded {demanded}"
            )?;
        }
        writeln!(f, "detector: {}", self.detector)?;
        let answer = if self.passed { "yes" } else { "no" };
        writeln!(f, "{answer}: {} on {IMAGES} drawn flukes", self.engine)
    }
}

/// Compares what the engines make of the bundle's model.
///
/// # Errors
/// When bundle or model cannot be used, or TensorRT is demanded and does not start.
pub fn selftest(path: &Path, section: &EngineSection) -> Result<Selftest, SelftestError> {
    let bundle = Bundle::open(path)?;
    let model = |source| SelftestError::Model {
        bundle: path.to_owned(),
        source,
    };
    let engine = |e: EngineError| model(e.into());
    let tract = |form| -> Result<Box<dyn Engine>, SelftestError> {
        Ok(Box::new(
            TractEngine::load(&bundle.model, form)
                .and_then(|e| e.on_threads(section.threads))
                .map_err(engine)?,
        ))
    };
    let tested = |engine| Tested::new(&bundle, engine).map_err(model);

    let stripped = tested(tract(TractForm::Stripped)?)?;
    let as_is = tested(tract(TractForm::AsIs)?)?;
    let mut comparisons = vec![stripped.repeats()];
    if bundle.manifest.model.precision == Precision::Int8 {
        comparisons.push(stripped.beside(&as_is, OTHER_ROUNDING));
    }
    if !bundle.golden.is_empty() {
        comparisons.push(as_is.beside_golden(&bundle, SAME_ROUNDING));
        comparisons.push(stripped.beside_golden(&bundle, OTHER_ROUNDING));
    }
    let mut active = stripped.name.clone();
    let mut why_not_tensorrt = None;
    if section.choice != EngineChoice::Tract {
        let place = section.place();
        let started = TensorRt::start(&place, crate::run::teller());
        match started.and_then(|t| t.load(&bundle.model, &|| true)) {
            Ok(engine) => {
                let tensorrt = tested(Box::new(engine))?;
                comparisons.push(tensorrt.repeats());
                comparisons.push(tensorrt.beside(&as_is, SAME_ROUNDING));
                comparisons.push(tensorrt.beside(&stripped, OTHER_ROUNDING));
                if !bundle.golden.is_empty() {
                    comparisons.push(tensorrt.beside_golden(&bundle, SAME_ROUNDING));
                }
                active = tensorrt.name;
            }
            Err(e) if section.choice == EngineChoice::TensorRt => {
                return Err(SelftestError::Demanded(e));
            }
            Err(e) => why_not_tensorrt = Some(e.to_string()),
        }
    }
    Ok(Selftest {
        passed: comparisons.iter().all(|c| c.passed),
        engine: active,
        detector: crate::check::about_detector(&bundle, true)?,
        why_not_tensorrt,
        comparisons,
    })
}

/// What an engine gave for the drawn flukes, twice.
struct Tested {
    name: String,
    first: Vec<Embedding>,
    again: Vec<Embedding>,
}

impl Tested {
    fn new(bundle: &Bundle, engine: Box<dyn Engine>) -> Result<Self, EmbedderError> {
        let mut embedder = Embedder::with_engine(bundle, engine)?;
        let mut round = || -> Result<Vec<Embedding>, EmbedderError> {
            (0..IMAGES)
                .map(|number| embedder.embed(&drawn_photo(SEED, number), None))
                .collect()
        };
        let (first, again) = (round()?, round()?);
        Ok(Self {
            name: embedder.engine_name().to_owned(),
            first,
            again,
        })
    }

    /// The engine beside itself: what it gives once it must give again, but for the order of sums on a GPU.
    fn repeats(&self) -> Comparison {
        compared(
            (&self.name, &self.first),
            ("itself, once more", &self.again),
            0.9999,
        )
    }

    /// Beside what the model gave where its bundle was made: on another machine, as a rule.
    fn beside_golden(&self, bundle: &Bundle, demanded: f32) -> Comparison {
        compared(
            (&self.name, &self.first),
            ("the bundle's golden embeddings", &bundle.golden),
            demanded,
        )
    }

    fn beside(&self, other: &Self, demanded: f32) -> Comparison {
        compared(
            (&self.name, &self.first),
            (&other.name, &other.first),
            demanded,
        )
    }
}

fn compared(
    (one, these): (&str, &[Embedding]),
    (other, those): (&str, &[Embedding]),
    demanded: f32,
) -> Comparison {
    let cosines = these.iter().zip(those).map(|(a, b)| a.cosine(b));
    // Too few to compare with is no agreement.
    let lowest_cosine = if these.len() == those.len() {
        cosines.fold(1.0, f32::min)
    } else {
        -1.0
    };
    Comparison {
        one: one.to_owned(),
        other: other.to_owned(),
        lowest_cosine,
        demanded,
        passed: lowest_cosine >= demanded,
    }
}

#[cfg(test)]
mod tests;
