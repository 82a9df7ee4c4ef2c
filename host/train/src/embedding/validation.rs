//! Retrieval on held-out identities: each photo against the others, as `flukewatch evaluate` does.

use super::network::{EmbeddingPart, TorchNetwork};
use crate::torch::tensors::{images, values};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::prepare::Preparation;
use flukewatch_eval::protocols::leave_one_out::{RetrievalSummary, retrieval};
use ndarray::Array3;

/// Embeds prepared photos, without augmentation, in evaluation mode: `[N][D]`.
pub fn embed(
    network: &TorchNetwork,
    part: EmbeddingPart,
    photos: &[&Array3<u8>],
    preparation: &Preparation,
) -> Vec<Vec<f32>> {
    let shape = [
        preparation.channels() as i64,
        i64::from(preparation.height),
        i64::from(preparation.width),
    ];
    tch::no_grad(|| {
        photos
            .chunks(32)
            .flat_map(|chunk| {
                let numbers: Vec<f32> = chunk
                    .iter()
                    .flat_map(|p| preparation.normalise(p, false).into_raw_vec_and_offset().0)
                    .collect();
                let embeddings = values(&network.embed(&images(&numbers, shape), part));
                let rows = embeddings.data.chunks_exact(embeddings.shape[1]);
                rows.map(<[f32]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    })
}

/// Retrieval among photos with the given labels; `None` if no identity has two photos, or an embedding
/// is not finite.
pub fn retrieve(
    network: &TorchNetwork,
    part: EmbeddingPart,
    photos: &[&Array3<u8>],
    labels: &[String],
    preparation: &Preparation,
) -> Option<RetrievalSummary> {
    let mut catalogue = Catalogue::new(network.description().dimension);
    let embeddings = embed(network, part, photos, preparation);
    for (i, (embedding, whale)) in embeddings.into_iter().zip(labels).enumerate() {
        let embedding = Embedding::normalised(embedding).ok()?;
        let entry = Enrolled {
            whale: whale.clone(),
            photo: i.to_string(),
            source: String::new(),
            ..Enrolled::default()
        };
        catalogue.enrol(entry, &embedding).ok()?;
    }
    retrieval(&catalogue)
}
