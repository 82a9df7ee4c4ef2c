//! Verifies the engines of the detector.

use super::SelftestError;
use crate::config::EngineSection;
use crate::models::{ModelsError, engine_log};
use flukewatch_common::bundle::{Bundle, DetectorInfo};
use flukewatch_inference::detector::agreement::{MapDifference, map_difference};
use flukewatch_inference::detector::{Detector, DetectorError};
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::TensorRt;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_inference::engine::{Engine, EngineError};
use serde::Serialize;
use std::fmt;

/// The result of the detector's self-test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectorSelftest {
    /// The engine that the boat will use.
    pub engine: String,
    /// Why that is not TensorRT, where the configuration allows TensorRT.
    pub tensorrt_error: Option<String>,
    /// All comparisons that were made.
    pub comparisons: Vec<MapComparison>,
}

/// A comparison of two engines' maps of the same drawn frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapComparison {
    /// The engine under test.
    pub engine: String,
    /// What it is compared with.
    pub reference: String,
    /// How far their maps differ.
    pub difference: MapDifference,
    /// Whether that is accepted.
    pub passed: bool,
}

impl DetectorSelftest {
    /// Whether all comparisons passed.
    pub(super) fn passed(&self) -> bool {
        self.comparisons.iter().all(|c| c.passed)
    }
}

impl fmt::Display for DetectorSelftest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.tensorrt_error {
            writeln!(f, "detector: TensorRT unavailable: {why}")?;
        }
        for MapComparison {
            engine,
            reference,
            difference,
            passed,
        } in &self.comparisons
        {
            let word = if *passed { "ok   " } else { "ERROR" };
            writeln!(f, "{word} detector, {engine} vs {reference}: {difference}")?;
        }
        Ok(())
    }
}

/// Compares the maps of every engine that can run the bundle's detector; `None` for a bundle without one.
pub(super) fn selftest(
    bundle: &Bundle,
    section: &EngineSection,
) -> Result<Option<DetectorSelftest>, SelftestError> {
    let (Some(info), Some(model)) = (&bundle.manifest.detector, Detector::engine_model(bundle))
    else {
        return Ok(None);
    };
    // Also checks that the model is the one that the manifest describes.
    Detector::open(bundle).map_err(ModelsError::from)?;
    let failed = |e: EngineError| ModelsError::from(DetectorError::from(e));
    let mut stripped = TractEngine::load(&model.onnx, TractForm::Dequantised).map_err(failed)?;
    let mut as_is = TractEngine::load(&model.onnx, TractForm::AsIs).map_err(failed)?;
    let mut comparisons = vec![compare(info, &mut stripped, &mut as_is).map_err(failed)?];
    let mut engine = stripped.name().to_owned();
    let mut tensorrt_error = None;
    if section.backend != EngineChoice::Tract {
        let started = TensorRt::start(&section.tensorrt(), engine_log());
        match started.and_then(|t| t.load(&model.onnx, &|| true)) {
            Ok(mut tensorrt) => {
                comparisons.push(compare(info, &mut tensorrt, &mut as_is).map_err(failed)?);
                engine = tensorrt.name().to_owned();
            }
            Err(e) if section.backend == EngineChoice::TensorRt => {
                return Err(SelftestError::Required(e));
            }
            Err(e) => tensorrt_error = Some(e.to_string()),
        }
    }
    Ok(Some(DetectorSelftest {
        engine,
        tensorrt_error,
        comparisons,
    }))
}

fn compare(
    info: &DetectorInfo,
    engine: &mut dyn Engine,
    reference: &mut dyn Engine,
) -> Result<MapComparison, EngineError> {
    let difference = map_difference(info, engine, reference)?;
    Ok(MapComparison {
        engine: engine.name().to_owned(),
        reference: reference.name().to_owned(),
        difference,
        passed: difference.is_accepted(),
    })
}
