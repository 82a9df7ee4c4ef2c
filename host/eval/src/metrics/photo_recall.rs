//! Recall@K over photos, as metric learning defines it: the fraction of queries of which one of
//! the K most similar photos shows the same whale (Jégou et al., TPAMI 2011; Musgrave et al., ECCV
//! 2020). A whale with many photos may fill several of the K places; [`super::rank`] counts each
//! whale once.

use crate::metrics::bootstrap::{Bootstrap, Interval};
use serde::Serialize;

/// The Ks.
const COUNTS: [usize; 3] = [1, 5, 10];

/// Averages over queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PhotoRecall {
    /// Fraction of queries whose most similar photo is of their whale.
    pub photo_recall_at_1: f64,
    /// Fraction of queries of which one of the 5 most similar photos is.
    pub photo_recall_at_5: f64,
    /// Fraction of queries of which one of the 10 most similar photos is.
    pub photo_recall_at_10: f64,
}

/// 95 % intervals of [`PhotoRecall`]; `None` without resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PhotoRecallIntervals {
    /// Interval for the most similar photo.
    pub photo_recall_at_1: Option<Interval>,
    /// Interval for 5 photos.
    pub photo_recall_at_5: Option<Interval>,
    /// Interval for 10 photos.
    pub photo_recall_at_10: Option<Interval>,
}

/// The values of one query.
fn values(rank: usize) -> [f64; 3] {
    COUNTS.map(|count| f64::from(u8::from(rank <= count)))
}

impl PhotoRecall {
    /// Averages over the ranks, from 1, of each query's first photo of the same whale; zeros
    /// without any.
    pub fn of(ranks: impl Iterator<Item = usize>) -> Self {
        let (mut sums, mut queries) = ([0.0; 3], 0usize);
        for rank in ranks {
            sums.iter_mut().zip(values(rank)).for_each(|(s, v)| *s += v);
            queries += 1;
        }
        let [one, five, ten] = sums.map(|sum| sum / queries.max(1) as f64);
        Self {
            photo_recall_at_1: one,
            photo_recall_at_5: five,
            photo_recall_at_10: ten,
        }
    }
}

impl PhotoRecallIntervals {
    /// Intervals from the whale of each query and the rank of its first photo.
    pub fn of(
        bootstrap: &Bootstrap,
        whales: usize,
        ranks: impl Iterator<Item = (usize, usize)>,
    ) -> Self {
        let found = bootstrap.means(whales, ranks.map(|(whale, rank)| (whale, values(rank))));
        let [one, five, ten] = [0, 1, 2].map(|at| found.get(at).copied().flatten());
        Self {
            photo_recall_at_1: one,
            photo_recall_at_5: five,
            photo_recall_at_10: ten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_worked_by_hand() {
        let found = PhotoRecall::of([1, 2, 5, 6, 10, 11, 1, 300].into_iter());
        assert_eq!(found.photo_recall_at_1, 2.0 / 8.0);
        assert_eq!(found.photo_recall_at_5, 4.0 / 8.0);
        assert_eq!(found.photo_recall_at_10, 6.0 / 8.0);
        assert_eq!(PhotoRecall::of(std::iter::empty()), PhotoRecall::default());
    }

    #[test]
    fn intervals_contain_the_value() {
        let bootstrap = Bootstrap {
            resamples: 200,
            seed: 1,
        };
        // Whales 0 to 19; the even ones are found at once, the odd ones at rank 7.
        let ranks = (0..20).map(|whale| (whale, if whale % 2 == 0 { 1 } else { 7 }));
        let found = PhotoRecallIntervals::of(&bootstrap, 20, ranks);
        for half in [found.photo_recall_at_1, found.photo_recall_at_5] {
            let half = half.unwrap();
            assert!(half.low > 0.2 && half.low < 0.5 && half.high > 0.5 && half.high < 0.8);
        }
        let all = found.photo_recall_at_10.unwrap();
        assert_eq!((all.low, all.high), (1.0, 1.0));
    }
}
