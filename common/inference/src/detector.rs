//! Finds flukes in camera frames with the detector of a bundle.
//!
//! The frame is scaled down and converted to grey ([`input`]). For every cell of its maps the model
//! gives a score for the centre of a fluke and the distances to its edges; the peaks become boxes
//! ([`maps`]).

pub mod agreement;
pub mod input;
pub mod maps;

/// The default minimum width of a detection, as a fraction of the frame's width: smaller flukes
/// cannot be identified, and most false alarms are that small.
pub const MIN_WIDTH_FRACTION: f64 = 0.03;

use crate::engine::choice::EngineModel;
use crate::engine::tract::{TractEngine, TractForm};
use crate::engine::{Engine, EngineError};
use agreement::MapsAgree;
use flukewatch_common::bundle::{Bundle, DetectorInfo};
use flukewatch_common::detection::Detection;
use flukewatch_common::prepare::PrepareError;
use image::RgbImage;
use input::DetectorInput;
use maps::Maps;
use std::sync::Arc;

/// Errors of opening or running a detector.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The model cannot be loaded or run.
    #[error("the detector: {0}")]
    Engine(#[from] EngineError),
    /// The frame or its preparation is invalid.
    #[error("the detector: {0}")]
    Prepare(#[from] PrepareError),
    /// The model does not match its description in the manifest.
    #[error("the detector of the bundle '{bundle}' does not fit its manifest: {why}")]
    Mismatch {
        /// The name of the bundle.
        bundle: String,
        /// What differs.
        why: String,
    },
    /// The output of the model is not finite.
    #[error("the detector's output is not finite: the bundle's detector.onnx is faulty")]
    NotFinite,
}

/// Finds flukes in frames. It reuses its buffers from frame to frame.
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

    /// The bundle's detector, to open an engine for; `None` for a bundle without one.
    pub fn engine_model(bundle: &Bundle) -> Option<EngineModel> {
        let info = bundle.manifest.detector.clone()?;
        let onnx = bundle.detector.as_deref()?.into();
        Some(EngineModel {
            name: "detector",
            onnx,
            agreement: Arc::new(MapsAgree { info }),
        })
    }

    /// Wraps an engine that has loaded the detector that `info` describes; `bundle` is a name for errors.
    ///
    /// # Errors
    /// When its input or output does not match the description.
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

    /// The lowest score of a detection, in 0..=1.
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
