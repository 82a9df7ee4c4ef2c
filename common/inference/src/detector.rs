//! Finds flukes in a camera's frames, with the detector that a bundle may hold.
//!
//! The frame is made small and grey ([`input`]), the model says for every cell of its maps how surely a fluke's middle is there and
//! how far its edges are, and the peaks of that become boxes ([`maps`]).

pub mod input;
pub mod maps;

/// Boxes less wide than this share of the frame are passed over, where nothing else is said: nobody can tell whose fluke that is, and most false
/// alarms are so small.
pub const MIN_WIDTH_FRACTION: f64 = 0.03;

use crate::engine::tract::{TractEngine, TractForm};
use crate::engine::{Engine, EngineError};
use flukewatch_common::bundle::{Bundle, DetectorInfo};
use flukewatch_common::detection::Detection;
use flukewatch_common::prepare::PrepareError;
use image::RgbImage;
use input::DetectorInput;
use maps::Maps;

/// Why flukes cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The model.
    #[error("the detector: {0}")]
    Engine(#[from] EngineError),
    /// The frame, or how it is made small.
    #[error("the detector: {0}")]
    Prepare(#[from] PrepareError),
    /// The model is not the one that the manifest describes.
    #[error("the detector of the bundle '{bundle}' does not fit its manifest: {why}")]
    Mismatch {
        /// Its name.
        bundle: String,
        /// What differs.
        why: String,
    },
    /// The model gave something that is no number.
    #[error(
        "the detector gave something that is no number: the bundle's detector.onnx is unusable"
    )]
    NotFinite,
}

/// Finds flukes in frames. What it needs for a frame it keeps for the next.
pub struct Detector {
    input: DetectorInput,
    maps: Maps,
    threshold: f32,
    engine: Box<dyn Engine>,
}

impl Detector {
    /// Loads the bundle's detector into tract; `None` for a bundle without one.
    ///
    /// # Errors
    /// When the model cannot be loaded or is not the one that the manifest describes.
    pub fn open(bundle: &Bundle) -> Result<Option<Self>, DetectorError> {
        let (Some(info), Some(model)) = (&bundle.manifest.detector, &bundle.detector) else {
            return Ok(None);
        };
        let engine = Box::new(TractEngine::load(model, TractForm::Dequantised)?);
        Self::with_engine(&bundle.manifest.name, info, engine).map(Some)
    }

    /// Wraps an engine that has loaded the detector that `info` describes; `bundle` is a name for errors.
    ///
    /// # Errors
    /// When its input or its output is not what is described.
    pub fn with_engine(
        bundle: &str,
        info: &DetectorInfo,
        engine: Box<dyn Engine>,
    ) -> Result<Self, DetectorError> {
        let mismatch = |why: String| {
            Err(DetectorError::Mismatch {
                bundle: bundle.to_owned(),
                why,
            })
        };
        if let Err(invalid) = info.validate() {
            return mismatch(invalid.to_string());
        }
        let p = &info.preparation;
        let prepared = [p.channels(), p.height as usize, p.width as usize];
        if engine.input_shape() != prepared {
            return mismatch(format!(
                "its preparation gives {prepared:?} (channels, height, width), its model expects {:?}",
                engine.input_shape()
            ));
        }
        let maps = Maps::new(p.width, p.height, &info.strides);
        if engine.dimension() != maps.numbers() {
            return mismatch(format!(
                "its strides give {} outputs, its model has {}",
                maps.numbers(),
                engine.dimension()
            ));
        }
        Ok(Self {
            input: DetectorInput::new(p)?,
            maps,
            threshold: info.threshold,
            engine,
        })
    }

    /// Overrides the bundle's threshold.
    pub fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// The lowest score of a detection.
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Replaces the content of `found` by the detections in a frame, highest score first. After the first frame
    /// of a size, only the engine allocates.
    ///
    /// # Errors
    /// For a frame without pixels, or when the model fails or its output is not finite.
    pub fn detect(
        &mut self,
        frame: &RgbImage,
        found: &mut Vec<Detection>,
    ) -> Result<(), DetectorError> {
        found.clear();
        let placement = self.input.fill(frame)?;
        let output = self.engine.run(self.input.numbers())?;
        if self.maps.find(&output, self.threshold, &placement, found) {
            Ok(())
        } else {
            found.clear();
            Err(DetectorError::NotFinite)
        }
    }

    /// The engine's name, for display.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }
}

#[cfg(test)]
mod tests;
