//! Photos that look like another whale than the one they are said to show.
//!
//! Two things must come together: the photo is far from the other photos of its whale, as few photos are, and near another whale,
//! as strangers seldom are. The chance of each, taken as independent (the two scores correlated by 0.00 and 0.10 in two
//! collections), makes one number; among the nearest photos the other whale must be seen.

use super::neighbours::{Labelled, Surroundings};
use super::tail::{StrangerTail, believable};

/// A photo that is likely to show another whale.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// The photo.
    pub photo: usize,
    /// The whale that it looks like.
    pub looks_like: usize,
    /// The cosine of its nearest photo of the whale that it is said to show, and that photo.
    pub own: (f32, usize),
    /// The same of the whale that it looks like.
    pub other: (f32, usize),
    /// Of the nearest photos, how many show that whale.
    pub agree: usize,
    /// Nearest photos looked at.
    pub nearest: usize,
    /// False doubts to expect that are as strong.
    pub expected_false: f64,
}

impl Doubt {
    /// By how much it is nearer to the other whale.
    pub fn margin(&self) -> f32 {
        self.other.0 - self.own.0
    }
}

/// Nearest photos of the other whale that are wanted, where it has so many.
const AGREEING: usize = 2;

/// The photos in doubt, the widest margin first, of which at most the share `rate` is expected to be false; `None` where there
/// are too few photos to say. Pairs of whales for which `one_whale` holds are passed over: there the names are in doubt.
pub fn doubts(
    all: &Labelled,
    photos: &[Surroundings],
    one_whale: impl Fn(usize, usize) -> bool,
    rate: f64,
) -> Option<Vec<Doubt>> {
    let seen: Vec<_> = photos
        .iter()
        .enumerate()
        .filter_map(|(photo, s)| Some((photo, s.own?, s.other?)))
        .collect();
    let tail = StrangerTail::fit(&seen.iter().map(|s| s.2.0).collect::<Vec<_>>())?;
    let mut own: Vec<f32> = seen.iter().map(|s| s.1.0).collect();
    own.sort_by(f32::total_cmp);
    let mut doubts: Vec<Doubt> = seen
        .iter()
        .filter_map(|&(photo, own_best, other_best)| {
            let looks_like = all.whale_of[other_best.1];
            let nearest = &photos[photo].nearest;
            let agree = nearest
                .iter()
                .filter(|&&p| all.whale_of[p] == looks_like)
                .count();
            let enough = agree >= AGREEING.min(all.photos_of[looks_like].len());
            if other_best.0 <= own_best.0 || !enough || one_whale(all.whale_of[photo], looks_like) {
                return None;
            }
            let as_far = own.partition_point(|&o| o <= own_best.0) as f64 / own.len() as f64;
            Some(Doubt {
                photo,
                looks_like,
                own: own_best,
                other: other_best,
                agree,
                nearest: nearest.len(),
                expected_false: own.len() as f64 * both(as_far, tail.chance_of(other_best.0)),
            })
        })
        .collect();
    doubts.sort_by(|a, b| {
        a.expected_false
            .total_cmp(&b.expected_false)
            .then(a.photo.cmp(&b.photo))
    });
    let expected: Vec<f64> = doubts.iter().map(|d| d.expected_false).collect();
    doubts.truncate(believable(&expected, rate));
    doubts.sort_by(|a, b| {
        b.margin()
            .total_cmp(&a.margin())
            .then(a.photo.cmp(&b.photo))
    });
    Some(doubts)
}

/// The chance that the product of two independent chances is as small as that of these two (Fisher's method).
fn both(a: f64, b: f64) -> f64 {
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
    fn two_chances_make_one() {
        // Of pairs of uniform numbers on a grid, the share whose product is not above 0.1.
        let grid = 1_000;
        let at = |i: usize| (i as f64 + 0.5) / grid as f64;
        let counted = (0..grid)
            .flat_map(|i| (0..grid).map(move |j| (i, j)))
            .filter(|&(i, j)| at(i) * at(j) <= 0.1)
            .count();
        let share = counted as f64 / (grid * grid) as f64;
        assert!((both(0.5, 0.2) - share).abs() < 1e-3);
        assert_eq!(both(0.3, 0.0), 0.0);
    }
}
