//! Photos that look like another whale than their label says.
//!
//! The photo must be unusually far from the other photos of its whale and unusually near another
//! whale. The two p-values are combined as independent (the scores correlated by 0.00 and 0.10 in
//! two collections); the other whale must also be among the nearest photos.

use crate::audit::impostor_tail::{ImpostorTail, benjamini_hochberg};
use crate::audit::neighbourhood::{NamedPhotos, PhotoNeighbourhood};

/// A photo that probably shows another whale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SuspectLabel {
    pub(super) photo: usize,
    pub(super) looks_like: usize,
    /// Cosine and position of the nearest photo of its own whale.
    pub(super) own: (f32, usize),
    /// The same of the whale that it looks like.
    pub(super) other: (f32, usize),
    /// Nearest photos that show that whale.
    pub(super) agreeing: usize,
    /// Number of nearest photos considered.
    pub(super) nearest: usize,
    /// Expected number of false findings that are as strong.
    pub(super) expected_false: f64,
}

impl SuspectLabel {
    /// Difference of the two cosines.
    pub(super) fn margin(&self) -> f32 {
        self.other.0 - self.own.0
    }
}

/// Nearest photos that must show the other whale, unless it has fewer.
const MIN_AGREEING: usize = 2;

/// Suspect labels, widest margin first, at a false discovery rate of at most `rate`; `None` with
/// too few photos. Pairs of whales for which `one_whale` holds are skipped: there the identities
/// are in doubt.
pub(super) fn find(
    all: &NamedPhotos,
    photos: &[PhotoNeighbourhood],
    one_whale: impl Fn(usize, usize) -> bool,
    rate: f64,
) -> Option<Vec<SuspectLabel>> {
    let seen: Vec<_> = photos
        .iter()
        .enumerate()
        .filter_map(|(photo, s)| Some((photo, s.own?, s.other?)))
        .collect();
    let tail = ImpostorTail::fit(&seen.iter().map(|s| s.2.0).collect::<Vec<_>>())?;
    let mut own: Vec<f32> = seen.iter().map(|s| s.1.0).collect();
    own.sort_by(f32::total_cmp);
    let mut suspects: Vec<SuspectLabel> = seen
        .iter()
        .filter_map(|&(photo, own_best, other_best)| {
            let looks_like = all.whale_of[other_best.1];
            let nearest = &photos[photo].nearest;
            let agreeing = nearest
                .iter()
                .filter(|&&p| all.whale_of[p] == looks_like)
                .count();
            let enough = agreeing >= MIN_AGREEING.min(all.photos_of[looks_like].len());
            if other_best.0 <= own_best.0 || !enough || one_whale(all.whale_of[photo], looks_like) {
                return None;
            }
            let as_far = own.partition_point(|&o| o <= own_best.0) as f64 / own.len() as f64;
            Some(SuspectLabel {
                photo,
                looks_like,
                own: own_best,
                other: other_best,
                agreeing,
                nearest: nearest.len(),
                expected_false: own.len() as f64 * fisher(as_far, tail.p_value(other_best.0)),
            })
        })
        .collect();
    suspects.sort_by(|a, b| {
        a.expected_false
            .total_cmp(&b.expected_false)
            .then(a.photo.cmp(&b.photo))
    });
    let expected: Vec<f64> = suspects.iter().map(|d| d.expected_false).collect();
    suspects.truncate(benjamini_hochberg(&expected, rate));
    suspects.sort_by(|a, b| {
        b.margin()
            .total_cmp(&a.margin())
            .then(a.photo.cmp(&b.photo))
    });
    Some(suspects)
}

/// Combined p-value of two independent p-values by Fisher's method.
fn fisher(a: f64, b: f64) -> f64 {
    let product = a * b;
    if product > 0.0 {
        product * (1.0 - product.ln())
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_p_values_are_combined() {
        // Of pairs of uniform numbers on a grid, the share whose product is not above 0.1.
        let grid = 1_000;
        let at = |i: usize| (i as f64 + 0.5) / grid as f64;
        let counted = (0..grid)
            .flat_map(|i| (0..grid).map(move |j| (i, j)))
            .filter(|&(i, j)| at(i) * at(j) <= 0.1)
            .count();
        let share = counted as f64 / (grid * grid) as f64;
        assert!((fisher(0.5, 0.2) - share).abs() < 1e-3);
        assert_eq!(fisher(0.3, 0.0), 0.0);
    }
}
