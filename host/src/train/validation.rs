//! Retrieval on whales kept from training: each photo against the others, as `flukewatch evaluate` does.

use super::forward::{Part, TorchNetwork, values};

use crate::retrieval::{Retrieval, leave_one_out};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::prepare::Preparation;
use ndarray::Array3;
use tch::Tensor;

/// Embeds prepared photos plain, in evaluation mode: `[N][D]`.
pub fn embed(
    network: &TorchNetwork,
    part: Part,
    photos: &[&Array3<u8>],
    preparation: &Preparation,
) -> Vec<Vec<f32>> {
    let [c, h, w] = [
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
                let images = Tensor::from_slice(&numbers).reshape([-1, c, h, w]);
                let embeddings = values(&network.embed(&images, part));
                let rows = embeddings.data.chunks_exact(embeddings.shape[1]);
                rows.map(<[f32]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    })
}

/// Retrieval among `whales[i]`, the whale of `photos[i]`; `None` where no whale has two photos.
pub fn retrieve(
    network: &TorchNetwork,
    part: Part,
    photos: &[&Array3<u8>],
    whales: &[String],
    preparation: &Preparation,
) -> Option<Retrieval> {
    let mut catalogue = Catalogue::new(network.network().dimension);
    for (i, (embedding, whale)) in embed(network, part, photos, preparation)
        .into_iter()
        .zip(whales)
        .enumerate()
    {
        let embedding = Embedding::normalised(embedding).ok()?;
        let entry = Enrolled {
            whale: whale.clone(),
            photo: i.to_string(),
            source: String::new(),
        };
        catalogue.enrol(entry, &embedding).ok()?;
    }
    leave_one_out(&catalogue)
}
