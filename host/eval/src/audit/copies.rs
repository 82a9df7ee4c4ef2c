//! Near-duplicate photos: the same picture cropped differently, re-encoded, brighter or mirrored.
//!
//! Two photos are copies if perceptual hash, embedding and the correlation of their fine structure
//! agree. Every pair is compared; only the copies are kept.

use crate::audit::photos::PhotoFeatures;
use crate::audit::thumbnail::Hash;
use flukewatch_common::bundle::View;
use flukewatch_common::embedding::{Embedding, dot};
use rayon::prelude::*;

/// When two photos are copies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CopyRule {
    /// Largest number of differing bits of 256.
    max_hash_distance: u32,
    /// Least cosine of the embeddings.
    min_cosine: f32,
    /// Least correlation of the fine structure.
    min_correlation: f32,
    /// The same if the embedding of the mirror image is not known.
    min_correlation_alone: f32,
}

// Chosen on 5,427 photos of real flukes. Of the pairs of different whales whose hashes were close
// (3,720, and 3,598 mirrored), the highest correlation was 0.74 (mirrored 0.76, with dissimilar
// embeddings); of 250 photos saved again at half the size, 1 in 100 correlated less than 0.74 with
// the original.
impl Default for CopyRule {
    fn default() -> Self {
        Self {
            max_hash_distance: 72,
            min_cosine: 0.7,
            min_correlation: 0.75,
            min_correlation_alone: 0.85,
        }
    }
}

/// A photo and its copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CopyPair {
    /// Positions, the smaller first.
    pub(super) photos: (usize, usize),
    pub(super) mirrored: bool,
    pub(super) correlation: f32,
}

/// All copies, in the order of their positions. The embedding of a mirror image is known only if
/// `views` contains both views; otherwise mirrored copies are compared by pixels alone.
pub(super) fn find(photos: &[PhotoFeatures], views: &[View], rule: &CopyRule) -> Vec<CopyPair> {
    let plain: Vec<Hash> = photos.iter().map(|p| p.thumbnail.hash()).collect();
    let mirrored: Vec<Hash> = photos
        .iter()
        .map(|p| p.thumbnail.mirrored().hash())
        .collect();
    let found: Vec<Vec<CopyPair>> = (0..photos.len())
        .into_par_iter()
        .map(|a| {
            let mut row = vec![];
            for b in a + 1..photos.len() {
                let straight = plain[a].distance(&plain[b]);
                let flipped = mirrored[a].distance(&plain[b]);
                let is_mirrored = flipped < straight;
                if straight.min(flipped) <= rule.max_hash_distance {
                    row.extend(compare(photos, (a, b), is_mirrored, views, rule));
                }
            }
            row
        })
        .collect();
    found.into_iter().flatten().collect()
}

fn compare(
    photos: &[PhotoFeatures],
    (a, b): (usize, usize),
    mirrored: bool,
    views: &[View],
    rule: &CopyRule,
) -> Option<CopyPair> {
    let (first, second) = (&photos[a], &photos[b]);
    let cosine = if mirrored {
        mirrored_cosine(&first.embedding, &second.embedding, views)
    } else {
        Some(first.embedding.cosine(&second.embedding))
    };
    if cosine.is_some_and(|c| c < rule.min_cosine) {
        return None;
    }
    let correlation = if mirrored {
        first.thumbnail.mirrored().correlation(&second.thumbnail)
    } else {
        first.thumbnail.correlation(&second.thumbnail)
    };
    let min_correlation = match cosine {
        Some(_) => rule.min_correlation,
        None => rule.min_correlation_alone,
    };
    (correlation >= min_correlation).then_some(CopyPair {
        photos: (a, b),
        mirrored,
        correlation,
    })
}

/// Cosine of one photo's mirror image with the other photo: the two views are swapped.
fn mirrored_cosine(a: &Embedding, b: &Embedding, views: &[View]) -> Option<f32> {
    if views.len() != 2 || a.dimension() != b.dimension() {
        return None;
    }
    let (a0, a1) = a.as_slice().split_at(a.dimension() / 2);
    let (b0, b1) = b.as_slice().split_at(b.dimension() / 2);
    Some(dot(a0, b1) + dot(a1, b0))
}

/// Connected groups of copies among `count` photos, in order.
pub(super) fn groups(count: usize, copies: &[CopyPair]) -> Vec<Vec<usize>> {
    let mut parents: Vec<usize> = (0..count).collect();
    for copy in copies {
        let (a, b) = (
            root(&mut parents, copy.photos.0),
            root(&mut parents, copy.photos.1),
        );
        parents[a.max(b)] = a.min(b);
    }
    let mut members: Vec<Vec<usize>> = vec![vec![]; count];
    for photo in 0..count {
        members[root(&mut parents, photo)].push(photo);
    }
    members.retain(|g| g.len() >= 2);
    members
}

/// Union-find with path halving.
fn root(parents: &mut [usize], mut photo: usize) -> usize {
    while parents[photo] != photo {
        parents[photo] = parents[parents[photo]];
        photo = parents[photo];
    }
    photo
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(a: usize, b: usize) -> CopyPair {
        CopyPair {
            photos: (a, b),
            mirrored: false,
            correlation: 0.9,
        }
    }

    #[test]
    fn copies_of_copies_are_one_group() {
        let found = groups(7, &[copy(4, 6), copy(1, 3), copy(3, 4), copy(0, 5)]);
        assert_eq!(found, [vec![0, 5], vec![1, 3, 4, 6]]);
        assert_eq!(groups(3, &[]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_mirror_image_swaps_the_views() {
        let e = |v: [f32; 4]| Embedding::normalised(v.to_vec()).unwrap();
        let (a, b) = (e([1.0, 0.0, 0.6, 0.8]), e([0.6, 0.8, 1.0, 0.0]));
        let both = [View::Plain, View::Mirrored];
        assert!((mirrored_cosine(&a, &b, &both).unwrap() - 1.0).abs() < 1e-6);
        assert_eq!(mirrored_cosine(&a, &b, &[View::Plain]), None);
    }
}
