//! Identities that look like one whale.
//!
//! Whales with two photos or more are compared with each other ([`neighbours::likeness`]); a pair counts when each is the other's
//! most alike. A whale with a single photo is compared with all. How high such a score may be by chance says [`StrangerTail`], how
//! high it is within one whale say whales whose photos are dealt out in two halves.

use super::neighbours::{Labelled, WhaleSurroundings, likeness};
use super::tail::{StrangerTail, believable};
use flukewatch_common::embedding::dot;

/// Two identities that may be one whale.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The two whales; the one with a single photo first, where there is one.
    pub whales: (usize, usize),
    /// Their likeness, -1..=1.
    pub score: f32,
    /// False pairs to expect at this score or above.
    pub expected_false: f64,
    /// The photos, one of each, that are most alike, the most alike first.
    pub photos: Vec<(usize, usize)>,
}

/// At least this share of whales must be less alike within themselves than a pair that is shown: below that it is not like
/// strangers, but not like one whale either.
const LEAST_WITHIN: f64 = 0.05;
/// Photos a whale must have for its halves to be compared.
const DIVISIBLE: usize = 4;
/// Pairs of photos that stand for a pair of whales.
const SHOWN: usize = 3;

/// Pairs of whales with two photos or more, most alike first, of which at most the share `rate` is expected to be false; `None`
/// where there are too few whales to say. `halves` are those of [`halves`].
pub fn pairs(
    all: &Labelled,
    whales: &[WhaleSurroundings],
    halves: &[f32],
    rate: f64,
) -> Option<Vec<Pair>> {
    let several = |whale: usize| all.photos_of[whale].len() >= 2;
    let seen: Vec<_> = (0..whales.len())
        .filter(|&w| several(w))
        .filter_map(|w| Some((w, whales[w].among_several?)))
        .collect();
    let best: Vec<f32> = seen.iter().map(|(_, partner)| partner.score).collect();
    let tail = StrangerTail::fit(&best)?;
    let mutual = seen.iter().filter(|(whale, partner)| {
        let back = whales[partner.whale].among_several;
        *whale < partner.whale && back.is_some_and(|b| b.whale == *whale)
    });
    let pairs = mutual
        .map(|&(whale, partner)| Pair {
            whales: (whale, partner.whale),
            score: partner.score,
            // Both whales of a pair have this score.
            expected_false: tail.expected_above(partner.score) / 2.0,
            photos: most_alike(all, whale, partner.whale),
        })
        .collect();
    Some(shown(pairs, halves, rate))
}

/// Likewise whales with a single photo, each with the whale that it is most like.
pub fn singles(
    all: &Labelled,
    whales: &[WhaleSurroundings],
    halves: &[f32],
    rate: f64,
) -> Option<Vec<Pair>> {
    let seen: Vec<_> = (0..whales.len())
        .filter(|&w| all.photos_of[w].len() == 1)
        .filter_map(|w| Some((w, whales[w].among_all?)))
        .collect();
    let best: Vec<f32> = seen.iter().map(|(_, partner)| partner.score).collect();
    let tail = StrangerTail::fit(&best)?;
    let twice = |whale: usize, partner: usize| {
        // Two single photos that are each other's nearest are one finding.
        partner < whale
            && all.photos_of[partner].len() == 1
            && whales[partner].among_all.is_some_and(|b| b.whale == whale)
    };
    let pairs = seen
        .iter()
        .filter(|(whale, partner)| !twice(*whale, partner.whale))
        .map(|&(whale, partner)| Pair {
            whales: (whale, partner.whale),
            score: partner.score,
            expected_false: tail.expected_above(partner.score),
            photos: most_alike(all, whale, partner.whale),
        })
        .collect();
    Some(shown(pairs, halves, rate))
}

/// The likeness of the two halves of each whale with [`DIVISIBLE`] photos or more, ascending.
pub fn halves(all: &Labelled) -> Vec<f32> {
    let mut scores: Vec<f32> = all
        .photos_of
        .iter()
        .filter(|photos| photos.len() >= DIVISIBLE)
        .filter_map(|photos| {
            let rows = photos.iter().step_by(2).map(|&a| {
                let others = photos.iter().skip(1).step_by(2);
                others
                    .map(|&b| {
                        // A copy would make any whale like itself.
                        if all.copy_of[a] == all.copy_of[b] {
                            f32::NEG_INFINITY
                        } else {
                            all.embeddings[a].cosine(&all.embeddings[b])
                        }
                    })
                    .collect()
            });
            likeness(&rows.collect::<Vec<Vec<f32>>>())
        })
        .collect();
    scores.sort_by(f32::total_cmp);
    scores
}

/// The pairs of photos with the highest cosines, no photo twice.
fn most_alike(all: &Labelled, a: usize, b: usize) -> Vec<(usize, usize)> {
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
        if chosen.len() < SHOWN && chosen.iter().all(|&(x, y)| x != p && y != q) {
            chosen.push((p, q));
        }
    }
    chosen
}

/// The share of whales whose halves are less alike than `score`; `None` where there are none.
pub fn less_alike_within(halves: &[f32], score: f32) -> Option<f64> {
    let below = halves.partition_point(|&h| h < score);
    (!halves.is_empty()).then(|| below as f64 / halves.len() as f64)
}

fn shown(mut pairs: Vec<Pair>, halves: &[f32], rate: f64) -> Vec<Pair> {
    pairs.retain(|p| less_alike_within(halves, p.score).is_none_or(|share| share >= LEAST_WITHIN));
    pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.whales.cmp(&b.whales)));
    let expected: Vec<f64> = pairs.iter().map(|p| p.expected_false).collect();
    pairs.truncate(believable(&expected, rate));
    pairs
}
