//! What a bundle's model must give, wherever it runs: the embeddings of drawn flukes, by which a boat can tell that its own engine is sound.

use crate::embedder::{Embedder, EmbedderError};
use crate::engine::agreement::{IMAGES, random_image};
use crate::engine::choice::SEED;
use crate::engine::tract::{TractEngine, TractForm};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;

/// Embeds the drawn flukes with the bundle's model as its file says, every rounding included: `[IMAGES]` of the bundle's dimension.
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
