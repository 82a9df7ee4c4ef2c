//! Metrics over ranks, for protocols in which the whale of every query is in the gallery.

use crate::metrics::bootstrap::{Bootstrap, Interval};
use crate::metrics::map_at_5::precision;
use serde::Serialize;

/// Averages over queries. Ranks are over distinct whales.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RankMetrics {
    /// Fraction of queries whose first whale is right.
    pub recall_at_1: f64,
    /// Fraction of queries whose whale is among the first five.
    pub recall_at_5: f64,
    /// Fraction of queries whose whale is among the first ten.
    pub recall_at_10: f64,
    /// Mean of 1 / rank of the right whale, 0 beyond the fifth: the metric of the humpback
    /// contests.
    pub map_at_5: f64,
    /// Number of queries.
    pub queries: usize,
}

/// The values of one query, in the order of [`RankMetrics`].
fn values(rank: usize) -> [f64; 4] {
    let within = |count| f64::from(u8::from(rank <= count));
    [
        within(1),
        within(5),
        within(10),
        precision(rank.checked_sub(1)),
    ]
}

impl RankMetrics {
    /// Averages over ranks from 1; zeros without any.
    pub fn of(ranks: impl Iterator<Item = usize>) -> Self {
        let (mut sums, mut queries) = ([0.0; 4], 0);
        for rank in ranks {
            sums.iter_mut().zip(values(rank)).for_each(|(s, v)| *s += v);
            queries += 1;
        }
        let [r1, r5, r10, map] = sums.map(|s| {
            if queries == 0 {
                0.0
            } else {
                s / queries as f64
            }
        });
        Self {
            recall_at_1: r1,
            recall_at_5: r5,
            recall_at_10: r10,
            map_at_5: map,
            queries,
        }
    }
}

/// 95 % intervals of [`RankMetrics`]; `None` without resamples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankIntervals {
    /// Interval of R@1.
    pub recall_at_1: Option<Interval>,
    /// Interval of R@5.
    pub recall_at_5: Option<Interval>,
    /// Interval of R@10.
    pub recall_at_10: Option<Interval>,
    /// Interval of MAP@5.
    pub map_at_5: Option<Interval>,
}

impl RankIntervals {
    /// Intervals from the whale and the rank of each query.
    pub fn of(
        bootstrap: &Bootstrap,
        whales: usize,
        ranks: impl Iterator<Item = (usize, usize)>,
    ) -> Self {
        let found = bootstrap.means(whales, ranks.map(|(whale, rank)| (whale, values(rank))));
        let [recall_at_1, recall_at_5, recall_at_10, map_at_5] =
            [0, 1, 2, 3].map(|at| found.get(at).copied().flatten());
        Self {
            recall_at_1,
            recall_at_5,
            recall_at_10,
            map_at_5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_worked_by_hand() {
        let f = RankMetrics::of([1, 2, 5, 7, 11].into_iter());
        assert_eq!(
            (f.recall_at_1, f.recall_at_5, f.recall_at_10, f.queries),
            (0.2, 0.6, 0.8, 5)
        );
        assert!((f.map_at_5 - (1.0 + 0.5 + 0.2) / 5.0).abs() < 1e-12);
        assert_eq!(RankMetrics::of(std::iter::empty()), RankMetrics::default());
    }
}
