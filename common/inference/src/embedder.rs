//! From a photo to its embedding by the bundle's preparation and model, for boat, workstation and
//! shore.

use crate::engine::agreement::EmbeddingsAgree;
use crate::engine::choice::EngineModel;
use crate::engine::tract::{TractEngine, TractForm};
use crate::engine::{Engine, EngineError};
use flukewatch_common::bundle::{Bundle, View};
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_common::local_matching::{
    DescriptorError, Descriptors, EmbeddedPhoto, Layout, ViewMap,
};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Preparation, PrepareError};
use image::RgbImage;
use std::sync::Arc;

/// Errors of opening an embedder or embedding a photo.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The photo or the box is invalid.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The model cannot be loaded or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The output of the model is not an embedding.
    #[error("the model's output cannot be used: {0}")]
    Embedding(#[from] EmbeddingError),
    /// The second output of the model cannot be used as descriptors.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// The bundle's parts contradict each other.
    #[error("the bundle '{bundle}' does not fit its own model: {why}")]
    Mismatch {
        /// The name of the bundle.
        bundle: String,
        /// What differs.
        why: String,
    },
}

/// Embeds photos with one bundle's model.
pub struct Embedder {
    preparation: Preparation,
    views: Vec<View>,
    /// The layout of the descriptors, where the bundle has local matching.
    local: Option<Layout>,
    engine: Box<dyn Engine>,
}

impl Embedder {
    /// The bundle's model, to open an engine for.
    pub fn engine_model(bundle: &Bundle) -> EngineModel {
        EngineModel {
            name: "model",
            onnx: bundle.model.as_slice().into(),
            agreement: Arc::new(EmbeddingsAgree {
                preparation: bundle.manifest.preparation.clone(),
            }),
        }
    }

    /// Loads the bundle's model into tract, in its faster form.
    ///
    /// # Errors
    /// When the model cannot be loaded or is not the one that the manifest describes.
    pub fn open(bundle: &Bundle) -> Result<Self, EmbedderError> {
        Self::with_engine(
            bundle,
            Box::new(TractEngine::load(&bundle.model, TractForm::Dequantised)?),
        )
    }

    /// Wraps an engine that has loaded the bundle's model.
    ///
    /// # Errors
    /// When its input or output does not match the manifest.
    pub fn with_engine(bundle: &Bundle, engine: Box<dyn Engine>) -> Result<Self, EmbedderError> {
        let manifest = &bundle.manifest;
        let mismatch = |why: String| {
            Err(EmbedderError::Mismatch {
                bundle: manifest.name.clone(),
                why,
            })
        };
        let preparation = &manifest.preparation;
        preparation.validate()?;
        let prepared = [
            preparation.channels(),
            preparation.height as usize,
            preparation.width as usize,
        ];
        if engine.input_shape() != prepared {
            return mismatch(format!(
                "its preparation gives {prepared:?} (channels, height, width), its model expects {:?}",
                engine.input_shape()
            ));
        }
        let numbers = engine.dimension() * manifest.views.len();
        if numbers != manifest.dimension {
            return mismatch(format!(
                "its manifest says dimension {}, its model gives {} numbers for each of {} views",
                manifest.dimension,
                engine.dimension(),
                manifest.views.len()
            ));
        }
        let local = manifest.local.as_ref().map(|info| info.layout);
        if let Some(layout) = local {
            let expected = [
                layout.channels(manifest.views.len()),
                layout.height,
                layout.width,
            ];
            if engine.local_shape() != Some(expected) {
                return mismatch(format!(
                    "its manifest says local descriptors of {expected:?} (channels, height, width), its model's second output is {:?}",
                    engine.local_shape()
                ));
            }
        }
        Ok(Self {
            preparation: preparation.clone(),
            views: manifest.views.clone(),
            local,
            engine,
        })
    }

    /// Embeds `region` of a decoded photo; the whole photo if `region` is `None`.
    ///
    /// # Errors
    /// When the box is outside the photo or the model fails on it.
    pub fn embed(
        &mut self,
        photo: &RgbImage,
        region: Option<PixelBox>,
    ) -> Result<Embedding, EmbedderError> {
        Ok(self.embed_with_local(photo, region)?.embedding)
    }

    /// Like [`Embedder::embed`], with the descriptors of the photo where the bundle has local matching.
    ///
    /// # Errors
    /// Those of [`Embedder::embed`].
    pub fn embed_with_local(
        &mut self,
        photo: &RgbImage,
        region: Option<PixelBox>,
    ) -> Result<EmbeddedPhoto, EmbedderError> {
        let region = region.unwrap_or(PixelBox::whole(photo.width(), photo.height()));
        let pixels = self.preparation.pixels(photo, region)?;
        let mut views = Vec::with_capacity(self.views.len());
        let mut maps = Vec::with_capacity(self.views.len());
        for view in &self.views {
            let input = self.preparation.normalise(&pixels, *view == View::Mirrored);
            let outputs = self.engine.run_with_local(input.view())?;
            views.push(Embedding::normalised(outputs.embedding)?);
            maps.extend(outputs.local);
        }
        if self.local.is_some() && maps.len() != self.views.len() {
            let why = "it gave no local descriptors".to_owned();
            return Err(EngineError::Run(why).into());
        }
        let described = self.local.map(|layout| {
            let views = self.views.iter().zip(&maps);
            let maps: Vec<ViewMap<'_>> = views
                .map(|(view, values)| ViewMap {
                    values,
                    mirrored: *view == View::Mirrored,
                })
                .collect();
            Descriptors::of_views(layout, &maps)
        });
        Ok(EmbeddedPhoto {
            embedding: Embedding::of_views(&views)?,
            local: described.transpose()?,
        })
    }

    /// The name of the engine that runs the model, for the record of a sighting.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }
}

#[cfg(test)]
mod tests;
