//! The similarity of two photos by their descriptors.
//!
//! Each location is compared with the 3 x 3 locations around its place in the other photo, since crops of
//! one fluke agree to about a third of their height. The kernels of the search compute the dot products of
//! the codes, so that every kernel gives the same similarity.

use super::descriptors::Descriptors;
use crate::catalogue::kernel::Kernel;

/// How far a match may be from its place, in locations.
const REACH: usize = 1;
/// The most locations of a row within reach.
const IN_ROW: usize = 2 * REACH + 1;

/// The similarity of two photos, in -1..=1: the weighted mean over the locations of one of the cosine to the most similar location
/// within reach in the other, averaged over both directions.
///
/// # Panics
/// When the layouts differ.
pub fn similarity(one: &Descriptors, other: &Descriptors) -> f32 {
    similarity_by(Kernel::best(), one, other)
}

pub(super) fn similarity_by(kernel: Kernel, one: &Descriptors, other: &Descriptors) -> f32 {
    let best = best_matches(kernel, one, other);
    let mean = |photo: &Descriptors, best: &[Best]| -> f32 {
        let pairs = photo.weights().iter().zip(best);
        pairs.map(|(weight, best)| weight * best.cosine).sum()
    };
    (mean(one, &best[0]) + mean(other, &best[1])) / 2.0
}

/// Two locations that match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionMatch {
    /// The location in the first photo; [`super::Layout::cell`] is its rectangle.
    pub one: usize,
    /// The location in the other photo.
    pub other: usize,
    /// The cosine of their descriptors.
    pub cosine: f32,
    /// The contribution to the similarity: cosine times the mean weight of both locations.
    pub contribution: f32,
}

/// The locations that are each other's most similar, at most `most`, those that contribute most to the similarity first.
///
/// # Panics
/// When the layouts differ.
pub fn matching_regions(one: &Descriptors, other: &Descriptors, most: usize) -> Vec<RegionMatch> {
    let [of_one, of_other] = best_matches(Kernel::best(), one, other);
    let mut matches: Vec<RegionMatch> = of_one
        .iter()
        .enumerate()
        .filter(|(at, best)| best.cosine > 0.0 && of_other[best.location].location == *at)
        .map(|(at, best)| RegionMatch {
            one: at,
            other: best.location,
            cosine: best.cosine,
            contribution: best.cosine * (one.weights()[at] + other.weights()[best.location]) / 2.0,
        })
        .collect();
    matches.sort_by(|a, b| {
        let order = b.contribution.total_cmp(&a.contribution);
        order.then(a.one.cmp(&b.one))
    });
    matches.truncate(most);
    matches
}

/// The most similar location within reach.
#[derive(Clone, Copy)]
struct Best {
    cosine: f32,
    location: usize,
}

/// For each location of either photo, the most similar one of the other. A pair is within reach in both directions, so each dot
/// product is used twice.
fn best_matches(kernel: Kernel, one: &Descriptors, other: &Descriptors) -> [Vec<Best>; 2] {
    let layout = one.layout();
    assert_eq!(layout, other.layout(), "descriptors of one model");
    let nothing = Best {
        cosine: f32::NEG_INFINITY,
        location: 0,
    };
    let mut best = [
        vec![nothing; layout.locations()],
        vec![nothing; layout.locations()],
    ];
    let within =
        |place: usize, side: usize| place.saturating_sub(REACH)..(place + REACH + 1).min(side);
    let mut sums = [0; IN_ROW];
    for at in 0..layout.locations() {
        let (row, column) = (at / layout.width, at % layout.width);
        let columns = within(column, layout.width);
        for near_row in within(row, layout.height) {
            let first = near_row * layout.width + columns.start;
            let sums = &mut sums[..columns.len()];
            kernel.dots(one.codes(at), other.codes_of(first, sums.len()), sums);
            for (near, sum) in (first..).zip(sums.iter()) {
                let cosine = *sum as f32 * (one.inverse_length(at) * other.inverse_length(near));
                for (best, (here, there)) in best.iter_mut().zip([(at, near), (near, at)]) {
                    if cosine > best[here].cosine {
                        best[here] = Best {
                            cosine,
                            location: there,
                        };
                    }
                }
            }
        }
    }
    best
}
