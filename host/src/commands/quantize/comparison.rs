//! Compares the embeddings and the retrieval of a quantised model with the float model's.

use super::photos::EvalPhotos;
use anyhow::Context;
use flukewatch_common::bundle::View;
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_eval::protocols::leave_one_out;
use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_onnx::quantize::Tick;
use rayon::prelude::*;
use serde::Serialize;

/// A model's embeddings compared with the float model's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Comparison {
    /// The lowest cosine between the two embeddings of a photo.
    pub(super) lowest: f32,
    /// The mean cosine.
    pub(super) mean: f32,
    /// Leave-one-out R@1; `None` where no whale has two photos.
    pub(super) recall_at_1: Option<f64>,
}

impl Comparison {
    pub(super) fn of(
        float: &[Embedding],
        other: &[Embedding],
        photos: &EvalPhotos,
    ) -> anyhow::Result<Self> {
        let cosines = float.iter().zip(other).map(|(a, b)| a.cosine(b));
        Ok(Self {
            lowest: cosines.clone().fold(1.0, f32::min),
            mean: cosines.sum::<f32>() / float.len().max(1) as f32,
            recall_at_1: recall_at_1(photos, other)?,
        })
    }
}

/// The embedding of each photo by a model in tract, on all cores.
pub(super) fn embed(
    model: &[u8],
    form: TractForm,
    photos: &EvalPhotos,
    tick: Tick<'_>,
) -> anyhow::Result<Vec<Embedding>> {
    let places: Vec<usize> = (0..photos.pixels.len()).collect();
    let share = places.len().div_ceil(rayon::current_num_threads()).max(1);
    let part = |places: &[usize]| -> anyhow::Result<Vec<Embedding>> {
        let mut engine = TractEngine::load(model, form)?;
        let embedded = |&at: &usize| {
            let found = one(&mut engine, photos, at);
            tick();
            found
        };
        places.iter().map(embedded).collect()
    };
    let parts: Vec<Vec<Embedding>> = places
        .par_chunks(share)
        .map(part)
        .collect::<anyhow::Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

fn one(engine: &mut dyn Engine, photos: &EvalPhotos, at: usize) -> anyhow::Result<Embedding> {
    let of_photo = || format!("the embedding of photo {}", photos.labels[at].name);
    let views = photos.views.iter().map(|view| {
        let image = photos
            .preparation
            .normalise(&photos.pixels[at], *view == View::Mirrored);
        Embedding::normalised(engine.run(image.view())?).with_context(of_photo)
    });
    let views: Vec<Embedding> = views.collect::<anyhow::Result<_>>()?;
    Embedding::of_views(&views).with_context(of_photo)
}

/// A catalogue of the photos of named whales.
pub(super) fn catalogue(
    photos: &EvalPhotos,
    embeddings: &[Embedding],
) -> anyhow::Result<Catalogue> {
    let dimension = embeddings.first().map_or(1, Embedding::dimension);
    let mut catalogue = Catalogue::new(dimension);
    for (label, embedding) in photos.labels.iter().zip(embeddings) {
        let Some(whale) = &label.whale else { continue };
        let entry = Enrolled {
            whale: whale.clone(),
            photo: label.name.clone(),
            encounter: label.encounter.clone(),
            date: label.date.map(|date| date.to_string()),
            ..Enrolled::default()
        };
        catalogue.enrol(entry, embedding)?;
    }
    Ok(catalogue)
}

/// Leave-one-out R@1; `None` where no whale has two photos.
pub(super) fn recall_at_1(
    photos: &EvalPhotos,
    embeddings: &[Embedding],
) -> anyhow::Result<Option<f64>> {
    let catalogue = catalogue(photos, embeddings)?;
    Ok(leave_one_out::retrieval(&catalogue).map(|found| found.recall_at_1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::quantize::fixtures::photos;
    use flukewatch_onnx::samples::mean_of_relu;

    fn at(degrees: f32) -> Embedding {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Embedding::normalised(vec![cos, sin]).unwrap()
    }

    /// Four photos of two whales; the first is turned by 60 degrees, beyond the other whale.
    #[test]
    fn cosines_and_recall_by_hand() {
        let photos = photos(&[
            (0.2, Some("a")),
            (0.2, Some("a")),
            (0.2, Some("b")),
            (0.2, None),
        ]);
        let float = [0.0, 10.0, 50.0, 90.0].map(at);
        let other = [60.0, 10.0, 50.0, 90.0].map(at);
        let c = Comparison::of(&float, &other, &photos).unwrap();
        assert!(
            (c.lowest - 0.5).abs() < 1e-6 && (c.mean - 3.5 / 4.0).abs() < 1e-6,
            "{c:?}"
        );
        // The first photo now finds b, and so does the second; the unnamed one is neither a query
        // nor enrolled.
        assert_eq!(
            (recall_at_1(&photos, &float).unwrap(), c.recall_at_1),
            (Some(1.0), Some(0.0))
        );
    }

    #[test]
    fn without_a_whale_with_two_photos_there_is_no_recall() {
        let photos = photos(&[(0.2, Some("a")), (0.2, Some("b"))]);
        assert_eq!(recall_at_1(&photos, &[at(0.0), at(9.0)]).unwrap(), None);
    }

    /// 0.4 by a model of 3 times the mean: (1.7, -0.7), normalised; both views of an even image are
    /// the same.
    #[test]
    fn embeddings_are_those_of_the_views() {
        let model = mean_of_relu(3.0).encode();
        let mut photos = photos(&[(0.4, None)]);
        photos.views.push(View::Mirrored);
        let found = embed(&model, TractForm::AsIs, &photos, &|| {}).unwrap();
        let expected = [1.7, -0.7, 1.7, -0.7].map(|v: f32| v / (2.0 * 3.38f32).sqrt());
        for (f, e) in found[0].as_slice().iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found:?}");
        }
    }
}
