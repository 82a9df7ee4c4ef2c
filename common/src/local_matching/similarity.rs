//! The similarity of two photos by their descriptors.
//!
//! Each location is compared with the 3 x 3 locations around its place in the other photo, since crops of
//! one fluke agree to about a third of their height. The kernels of the search compute the dot products of
//! the codes, so that every kernel gives the same similarity.

use super::affine::{Pair, agreeing};
use super::descriptors::Descriptors;
use super::layout::Layout;
use crate::catalogue::kernel::Kernel;

/// How far a match may be from its place, in locations.
const REACH: usize = 1;
/// The same for the fine grid.
const FINE_REACH: usize = 3;
/// The most locations of a row within reach.
const MAX_IN_ROW: usize = 2 * FINE_REACH + 1;

/// The similarity of two photos, in -1..=1: the weighted mean over the locations of one of the cosine to the most similar location
/// within reach in the other, averaged over both directions.
///
/// # Panics
/// When the layouts differ.
pub fn similarity(one: &Descriptors, other: &Descriptors) -> f32 {
    similarity_by(Kernel::best(), one, other)
}

pub(super) fn similarity_by(kernel: Kernel, one: &Descriptors, other: &Descriptors) -> f32 {
    mean_of(one, other, &best_matches(kernel, one, other, REACH))
}

fn mean_of(one: &Descriptors, other: &Descriptors, best: &[Vec<Best>; 2]) -> f32 {
    let mean = |photo: &Descriptors, best: &[Best]| -> f32 {
        let pairs = photo.weights().iter().zip(best);
        pairs.map(|(weight, best)| weight * best.cosine).sum()
    };
    (mean(one, &best[0]) + mean(other, &best[1])) / 2.0
}

/// How two photos agree in one grid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The mean cosine of the best matches, as in [`similarity`].
    pub best: f32,
    /// The squared cosines of the pairs that are each other's best match, weighted by their locations; 0 to 1.
    pub mutual: f32,
    /// The part of `mutual` whose places in both photos agree on one affine map; computed for the fine grid alone.
    pub affine: f32,
}

/// How two photos agree in both grids: the second is that of the fine grids, `None` where a photo has none.
///
/// # Panics
/// When the layouts differ.
pub fn agreement(one: &Descriptors, other: &Descriptors) -> (Agreement, Option<Agreement>) {
    let kernel = Kernel::best();
    let best = best_matches(kernel, one, other, REACH);
    let coarse = Agreement {
        best: mean_of(one, other, &best),
        mutual: mutual(one, other, &best).map(|m| m.strength()).sum(),
        affine: 0.0,
    };
    let fine = one.fine().zip(other.fine()).map(|(one, other)| {
        let best = best_matches(kernel, one, other, FINE_REACH);
        let layout = one.layout();
        let pairs: Vec<Pair> = mutual(one, other, &best).map(|m| m.pair(layout)).collect();
        Agreement {
            best: mean_of(one, other, &best),
            mutual: pairs.iter().map(|pair| pair.strength).sum(),
            affine: agreeing(&pairs),
        }
    });
    (coarse, fine)
}

/// Two locations that are each other's most similar.
struct Mutual {
    one: usize,
    other: usize,
    cosine: f32,
    /// The mean weight of both.
    weight: f32,
}

fn mutual(
    one: &Descriptors,
    other: &Descriptors,
    [of_one, of_other]: &[Vec<Best>; 2],
) -> impl Iterator<Item = Mutual> {
    let (weights, other_weights) = (one.weights(), other.weights());
    let both = of_one.iter().enumerate();
    both.filter(|(at, best)| best.cosine > 0.0 && of_other[best.location].location == *at)
        .map(move |(at, best)| Mutual {
            one: at,
            other: best.location,
            cosine: best.cosine,
            weight: (weights[at] + other_weights[best.location]) / 2.0,
        })
}

impl Mutual {
    /// The match with its places in photos of this layout.
    fn pair(&self, layout: Layout) -> Pair {
        Pair {
            from: place(layout, self.one),
            to: place(layout, self.other),
            strength: self.strength(),
        }
    }

    fn strength(&self) -> f32 {
        self.cosine.powi(2) * self.weight
    }
}

/// The middle of a location, `[x, y]` in heights of the crop.
fn place(layout: Layout, location: usize) -> [f32; 2] {
    let (row, column) = (location / layout.width, location % layout.width);
    [column, row].map(|at| (at as f32 + 0.5) / layout.height as f32)
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
    let best = best_matches(Kernel::best(), one, other, REACH);
    let mut matches: Vec<RegionMatch> = mutual(one, other, &best)
        .map(|m| RegionMatch {
            one: m.one,
            other: m.other,
            cosine: m.cosine,
            contribution: m.cosine * m.weight,
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
fn best_matches(
    kernel: Kernel,
    one: &Descriptors,
    other: &Descriptors,
    reach: usize,
) -> [Vec<Best>; 2] {
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
        |place: usize, side: usize| place.saturating_sub(reach)..(place + reach + 1).min(side);
    let mut sums = [0; MAX_IN_ROW];
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
