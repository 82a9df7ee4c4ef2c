//! The golden embeddings: a model's embeddings of drawn flukes, against which a boat checks its
//! engine.

use crate::drawn::{IMAGES, SEED, random_image};
use crate::embedder::{Embedder, EmbedderError};
use crate::engine::tract::{TractEngine, TractForm};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;

/// Embeds the drawn flukes with the bundle's model and all quantisation in its file: `[IMAGES]`
/// embeddings of the bundle's dimension.
///
/// # Errors
/// When the model cannot be run or is not the one that the manifest describes.
pub fn golden(bundle: &Bundle) -> Result<Vec<Embedding>, EmbedderError> {
    let engine = TractEngine::load(&bundle.model, TractForm::AsIs)?;
    let mut embedder = Embedder::with_engine(bundle, Box::new(engine))?;
    (0..IMAGES)
        .map(|number| embedder.embed(&random_image(SEED, number), None))
        .collect()
}
