//! How far the rounded model's embeddings are from the float model's, and whether whales are still found.

use super::QuantizeError;
use super::photos::{Looks, Tick};
use crate::enroll::enrol_all;
use crate::retrieval::leave_one_out;
use flukewatch_common::bundle::View;
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::engine::Engine;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use rayon::prelude::*;
use serde::Serialize;

/// How a model compares with the float one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The lowest cosine between the two embeddings of any photo.
    pub lowest: f32,
    /// The mean of all.
    pub mean: f32,
    /// Share of photos whose whale is found first among the others; none where no whale has two photos.
    pub recall_at_1: Option<f64>,
}

impl Comparison {
    /// Of embeddings of the same photos.
    pub fn of(float: &[Embedding], other: &[Embedding], looks: &Looks) -> Self {
        let cosines = float.iter().zip(other).map(|(a, b)| a.cosine(b));
        Self {
            lowest: cosines.clone().fold(1.0, f32::min),
            mean: cosines.sum::<f32>() / float.len().max(1) as f32,
            recall_at_1: recall_at_1(looks, other),
        }
    }
}

/// The embedding of each photo by a model in tract, over the views of the photos, on all cores.
///
/// # Errors
/// When the model does not load, or what it makes of a photo is no embedding.
pub fn embed(
    model: &[u8],
    form: TractForm,
    looks: &Looks,
    tick: Tick<'_>,
) -> Result<Vec<Embedding>, QuantizeError> {
    let places: Vec<usize> = (0..looks.pixels.len()).collect();
    let share = places.len().div_ceil(rayon::current_num_threads()).max(1);
    let part = |places: &[usize]| -> Result<Vec<Embedding>, QuantizeError> {
        let mut engine = TractEngine::load(model, form)?;
        let embedded = |&at: &usize| {
            let found = one(&mut engine, looks, at);
            tick();
            found
        };
        places.iter().map(embedded).collect()
    };
    let parts: Vec<Vec<Embedding>> = places
        .par_chunks(share)
        .map(part)
        .collect::<Result<_, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn one(engine: &mut dyn Engine, looks: &Looks, at: usize) -> Result<Embedding, QuantizeError> {
    let unusable = |e: flukewatch_common::embedding::EmbeddingError| {
        QuantizeError::Unfit(format!("of the photo {} it makes: {e}", looks.names[at]))
    };
    let views = looks.views.iter().map(|view| {
        let image = looks
            .preparation
            .normalise(&looks.pixels[at], *view == View::Mirrored);
        Embedding::normalised(engine.run(image.view())?).map_err(unusable)
    });
    let views: Vec<Embedding> = views.collect::<Result<_, _>>()?;
    Embedding::of_views(&views).map_err(unusable)
}

/// The photos that show a named whale, as a catalogue.
///
/// # Errors
/// When the catalogue takes one not.
pub fn catalogue(looks: &Looks, embeddings: &[Embedding]) -> anyhow::Result<Catalogue> {
    let dimension = embeddings.first().map_or(1, Embedding::dimension);
    let photos = looks.whales.iter().zip(&looks.names).zip(embeddings);
    let named = photos.filter_map(|((whale, name), e)| Some((whale.as_deref()?, name.as_str(), e)));
    enrol_all(dimension, named)
}

/// Share of photos whose whale is found first among the others, leave one out; none where no whale has two photos.
pub fn recall_at_1(looks: &Looks, embeddings: &[Embedding]) -> Option<f64> {
    let catalogue = catalogue(looks, embeddings).ok()?;
    leave_one_out(&catalogue).map(|found| found.recall_at_1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::fixtures::{looks, mean_of_relu};
    use prost::Message;

    fn at(degrees: f32) -> Embedding {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Embedding::normalised(vec![cos, sin]).unwrap()
    }

    /// Four photos of two whales; the first is turned by 60 degrees, beyond the other whale.
    #[test]
    fn cosines_and_recall_by_hand() {
        let looks = looks(&[
            (0.2, Some("a")),
            (0.2, Some("a")),
            (0.2, Some("b")),
            (0.2, None),
        ]);
        let float = [0.0, 10.0, 50.0, 90.0].map(at);
        let other = [60.0, 10.0, 50.0, 90.0].map(at);
        let c = Comparison::of(&float, &other, &looks);
        assert!(
            (c.lowest - 0.5).abs() < 1e-6 && (c.mean - 3.5 / 4.0).abs() < 1e-6,
            "{c:?}"
        );
        // The first photo now finds b, and so does the second; the unnamed one is no query and not enrolled.
        assert_eq!(
            (recall_at_1(&looks, &float), c.recall_at_1),
            (Some(1.0), Some(0.0))
        );
    }

    #[test]
    fn without_a_whale_twice_there_is_no_recall() {
        let looks = looks(&[(0.2, Some("a")), (0.2, Some("b"))]);
        assert_eq!(recall_at_1(&looks, &[at(0.0), at(9.0)]), None);
    }

    /// 0.4 by a model of 3 times the mean: (1.7, -0.7), normalised; both views of an even image are the same.
    #[test]
    fn embeddings_are_those_of_the_views() {
        let model = mean_of_relu(3.0).write().encode_to_vec();
        let mut looks = looks(&[(0.4, None)]);
        looks.views.push(View::Mirrored);
        let found = embed(&model, TractForm::AsIs, &looks, &|| {}).unwrap();
        let expected = [1.7, -0.7, 1.7, -0.7].map(|v: f32| v / (2.0 * 3.38f32).sqrt());
        for (f, e) in found[0].as_slice().iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found:?}");
        }
    }
}
