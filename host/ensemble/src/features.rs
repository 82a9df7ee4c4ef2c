//! The embeddings of several bundles as one.

use flukewatch_common::bundle::{Bundle, View};
use flukewatch_common::embedding::{Embedding, EmbeddingError};
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::embed::{self, EmbedError};
use ndarray::Array2;

/// The weights of `count` bundles: those given, or 1 each.
///
/// # Errors
/// When the number of weights is not that of the bundles, or one is not above 0.
pub fn weights(given: &[f32], count: usize) -> anyhow::Result<Vec<f32>> {
    if given.is_empty() {
        return Ok(vec![1.0; count]);
    }
    if given.len() != count {
        anyhow::bail!(
            "{} weights for {count} bundles; expected one per bundle, e.g. --weights 2,1",
            given.len()
        );
    }
    if given.iter().any(|w| !w.is_finite() || *w <= 0.0) {
        anyhow::bail!("--weights: expected numbers above 0");
    }
    Ok(given.to_vec())
}

/// The views of the bundles if all have the same, else `None`.
pub fn common_views(bundles: &[Bundle]) -> Option<&[View]> {
    let first = bundles.first()?.manifest.views.as_slice();
    bundles
        .iter()
        .all(|b| b.manifest.views == first)
        .then_some(first)
}

/// Joins the embeddings of one photo by several bundles: each times the square root of its
/// normalised weight, so that a dot product is the weighted mean of the bundles' cosines. Where all
/// bundles have the same number of `views`, the bundles lie side by side within each view, as in a
/// merged model; otherwise `views` is 1.
///
/// # Errors
/// If there are no embeddings.
pub fn join(
    parts: &[&Embedding],
    weights: &[f32],
    views: usize,
) -> Result<Embedding, EmbeddingError> {
    let mut joined = vec![];
    for view in 0..views {
        for (part, weight) in parts.iter().zip(weights) {
            let block = part.dimension() / views;
            let numbers = &part.as_slice()[view * block..(view + 1) * block];
            joined.extend(numbers.iter().map(|v| v * weight.sqrt()));
        }
    }
    Embedding::normalised(joined)
}

/// The joined embeddings of all photos, and those of each bundle alone, `[bundles][photos]`.
///
/// # Errors
/// At the first photo that cannot be used.
pub fn embed(
    bundles: &[Bundle],
    weights: &[f32],
    photos: &[LabelledPhoto],
    quiet: bool,
) -> anyhow::Result<(Vec<Embedding>, Vec<Vec<Embedding>>)> {
    let alone = bundles
        .iter()
        .map(|bundle| embed::all_photos(bundle, photos, quiet))
        .collect::<Result<Vec<_>, EmbedError>>()?;
    let views = common_views(bundles).map_or(1, <[View]>::len);
    let joined = (0..photos.len())
        .map(|photo| {
            let parts: Vec<&Embedding> = alone.iter().map(|all| &all[photo]).collect();
            join(&parts, weights, views)
        })
        .collect::<Result<_, EmbeddingError>>()?;
    Ok((joined, alone))
}

/// Embeddings as rows, `[N, D]`.
pub fn rows(embeddings: &[Embedding]) -> Array2<f32> {
    let wide = embeddings.first().map_or(0, Embedding::dimension);
    Array2::from_shape_fn((embeddings.len(), wide), |(i, d)| {
        embeddings[i].as_slice()[d]
    })
}

/// The features of the mirror images of photos `[N, D]`: plain and mirrored view swapped.
pub fn mirrored(features: &Array2<f32>) -> Array2<f32> {
    let half = features.ncols() / 2;
    Array2::from_shape_fn(features.dim(), |(i, d)| {
        features[(i, if d < half { d + half } else { d - half })]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(v: &[f32]) -> Embedding {
        Embedding::normalised(v.to_vec()).unwrap()
    }

    #[test]
    fn a_dot_product_is_the_weighted_mean_of_the_cosines() {
        let a = [e(&[1.0, 0.0]), e(&[0.6, 0.8, 0.0])];
        let b = [e(&[0.8, 0.6]), e(&[0.0, 1.0, 0.0])];
        let weights = [3.0, 1.0];
        let [joined_a, joined_b] = [&a, &b].map(|x| join(&x.each_ref(), &weights, 1).unwrap());
        let expected = 0.75 * a[0].cosine(&b[0]) + 0.25 * a[1].cosine(&b[1]);
        assert!((joined_a.cosine(&joined_b) - expected).abs() < 1e-6);
    }

    #[test]
    fn bundles_lie_within_views_and_a_mirror_swaps_views() {
        let (a, b) = (e(&[3.0, 4.0]), e(&[4.0, 3.0]));
        let joined = join(&[&a, &b], &[1.0, 1.0], 2).unwrap();
        let by = 2f32.sqrt();
        for (got, expected) in joined.as_slice().iter().zip([0.6, 0.8, 0.8, 0.6]) {
            assert!((got * by - expected).abs() < 1e-6);
        }
        let features = rows(&[joined]);
        let turned = mirrored(&features);
        assert_eq!(turned[(0, 0)], features[(0, 2)]);
        assert_eq!(mirrored(&turned), features);
    }

    #[test]
    fn invalid_weights_are_errors() {
        assert_eq!(weights(&[], 2).unwrap(), [1.0, 1.0]);
        assert!(
            weights(&[1.0], 2)
                .unwrap_err()
                .to_string()
                .contains("1 weights for 2 bundles")
        );
        assert!(weights(&[1.0, 0.0], 2).is_err());
    }
}
