//! Identities that may be one whale.
//!
//! Whales with two photos or more are compared with each other by [`similarity`]; a pair counts if
//! each is the most similar of the other. A whale with a single photo is compared with all.
//! [`ImpostorTail`] estimates how high such a score is by chance; the two halves of a whale's
//! photos how high it is within a whale.

use crate::audit::impostor_tail::{ImpostorTail, benjamini_hochberg};
use crate::audit::neighbourhood::{NamedPhotos, WhaleNeighbourhood, similarity};
use flukewatch_common::embedding::dot;

/// Two identities that may be one whale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IdentityPair {
    /// The two whales; a whale with a single photo first.
    pub(super) whales: (usize, usize),
    /// Their similarity in [-1, 1].
    pub(super) score: f32,
    /// Expected number of false pairs at this score or above.
    pub(super) expected_false: f64,
    /// The most similar pairs of photos, one of each whale.
    pub(super) photos: Vec<(usize, usize)>,
}

/// Least fraction of whales whose halves are less similar than a reported pair: below that, the
/// pair is not like impostors, but not like one whale either.
const MIN_WITHIN_WHALE_QUANTILE: f64 = 0.05;
/// Least number of photos of a whale for comparing its halves.
const MIN_PHOTOS_OF_HALVES: usize = 4;
/// Pairs of photos reported for a pair of whales.
const PHOTO_PAIRS: usize = 3;

/// Pairs of whales with two photos or more, most similar first, at a false discovery rate of at
/// most `rate`; `None` with too few whales. `halves` are those of [`halves`].
pub(super) fn pairs(
    all: &NamedPhotos,
    whales: &[WhaleNeighbourhood],
    halves: &[f32],
    rate: f64,
) -> Option<Vec<IdentityPair>> {
    let multiple = |whale: usize| all.photos_of[whale].len() >= 2;
    let seen: Vec<_> = (0..whales.len())
        .filter(|&w| multiple(w))
        .filter_map(|w| Some((w, whales[w].among_multiple?)))
        .collect();
    let best: Vec<f32> = seen.iter().map(|(_, nearest)| nearest.score).collect();
    let tail = ImpostorTail::fit(&best)?;
    let mutual = seen.iter().filter(|(whale, nearest)| {
        let back = whales[nearest.whale].among_multiple;
        *whale < nearest.whale && back.is_some_and(|b| b.whale == *whale)
    });
    let pairs = mutual
        .map(|&(whale, nearest)| IdentityPair {
            whales: (whale, nearest.whale),
            score: nearest.score,
            // Both whales of a pair have this score.
            expected_false: tail.expected_above(nearest.score) / 2.0,
            photos: most_similar(all, whale, nearest.whale),
        })
        .collect();
    Some(significant(pairs, halves, rate))
}

/// The same for whales with a single photo, each with its most similar whale.
pub(super) fn singles(
    all: &NamedPhotos,
    whales: &[WhaleNeighbourhood],
    halves: &[f32],
    rate: f64,
) -> Option<Vec<IdentityPair>> {
    let seen: Vec<_> = (0..whales.len())
        .filter(|&w| all.photos_of[w].len() == 1)
        .filter_map(|w| Some((w, whales[w].among_all?)))
        .collect();
    let best: Vec<f32> = seen.iter().map(|(_, nearest)| nearest.score).collect();
    let tail = ImpostorTail::fit(&best)?;
    let twice = |whale: usize, nearest: usize| {
        // Two single photos that are mutually nearest are one finding.
        nearest < whale
            && all.photos_of[nearest].len() == 1
            && whales[nearest].among_all.is_some_and(|b| b.whale == whale)
    };
    let pairs = seen
        .iter()
        .filter(|(whale, nearest)| !twice(*whale, nearest.whale))
        .map(|&(whale, nearest)| IdentityPair {
            whales: (whale, nearest.whale),
            score: nearest.score,
            expected_false: tail.expected_above(nearest.score),
            photos: most_similar(all, whale, nearest.whale),
        })
        .collect();
    Some(significant(pairs, halves, rate))
}

/// Similarity of the two halves of each whale with enough photos, ascending.
pub(super) fn halves(all: &NamedPhotos) -> Vec<f32> {
    let mut scores: Vec<f32> = all
        .photos_of
        .iter()
        .filter(|photos| photos.len() >= MIN_PHOTOS_OF_HALVES)
        .filter_map(|photos| {
            let rows = photos.iter().step_by(2).map(|&a| {
                let others = photos.iter().skip(1).step_by(2);
                others
                    .map(|&b| {
                        // A copy would make any whale similar to itself.
                        if all.copy_of[a] == all.copy_of[b] {
                            f32::NEG_INFINITY
                        } else {
                            all.embeddings[a].cosine(&all.embeddings[b])
                        }
                    })
                    .collect()
            });
            similarity(&rows.collect::<Vec<Vec<f32>>>())
        })
        .collect();
    scores.sort_by(f32::total_cmp);
    scores
}

/// The pairs of photos with the highest cosines, without repeated photos.
fn most_similar(all: &NamedPhotos, a: usize, b: usize) -> Vec<(usize, usize)> {
    let mut cosines: Vec<(f32, usize, usize)> = all.photos_of[a]
        .iter()
        .flat_map(|&p| all.photos_of[b].iter().map(move |&q| (p, q)))
        .filter(|&(p, q)| all.copy_of[p] != all.copy_of[q])
        .map(|(p, q)| {
            let cosine = dot(all.embeddings[p].as_slice(), all.embeddings[q].as_slice());
            (cosine, p, q)
        })
        .collect();
    cosines.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
    let mut chosen: Vec<(usize, usize)> = vec![];
    for (_, p, q) in cosines {
        if chosen.len() < PHOTO_PAIRS && chosen.iter().all(|&(x, y)| x != p && y != q) {
            chosen.push((p, q));
        }
    }
    chosen
}

/// Fraction of whales whose halves are less similar than `score`; `None` without any.
pub(super) fn within_whale_quantile(halves: &[f32], score: f32) -> Option<f64> {
    let below = halves.partition_point(|&h| h < score);
    (!halves.is_empty()).then(|| below as f64 / halves.len() as f64)
}

fn significant(mut pairs: Vec<IdentityPair>, halves: &[f32], rate: f64) -> Vec<IdentityPair> {
    pairs.retain(|p| {
        within_whale_quantile(halves, p.score)
            .is_none_or(|quantile| quantile >= MIN_WITHIN_WHALE_QUANTILE)
    });
    pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.whales.cmp(&b.whales)));
    let expected: Vec<f64> = pairs.iter().map(|p| p.expected_false).collect();
    pairs.truncate(benjamini_hochberg(&expected, rate));
    pairs
}
