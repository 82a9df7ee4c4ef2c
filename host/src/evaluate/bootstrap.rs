//! Intervals by the bootstrap over whales: whales are drawn with replacement and bring all their photos, since photos of one whale
//! are no independent witnesses (Efron & Tibshirani 1993, the percentile interval).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

/// The middle 95 % of the resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How often to draw, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples; 0 for no intervals.
    pub resamples: usize,
    /// The same seed gives the same intervals.
    pub seed: u64,
}

impl Bootstrap {
    /// Intervals of the figures that `figures` computes from a weight for each whale (how often it was drawn). A figure that is
    /// not finite in a resample is passed over there; a figure without any is `None`.
    pub fn intervals(
        &self,
        whales: usize,
        figures: impl Fn(&[u32]) -> Vec<f64> + Sync,
    ) -> Vec<Option<Interval>> {
        let drawn: Vec<Vec<f64>> = (0..self.resamples)
            .into_par_iter()
            .map(|resample| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(resample as u64 + 1);
                let mut weights = vec![0u32; whales];
                for _ in 0..whales {
                    weights[rng.random_range(0..whales)] += 1;
                }
                figures(&weights)
            })
            .collect();
        let count = figures(&vec![1; whales]).len();
        (0..count)
            .map(|at| {
                let mut values: Vec<f64> = drawn.iter().map(|figures| figures[at]).collect();
                values.retain(|v| v.is_finite());
                values.sort_by(f64::total_cmp);
                Some(Interval {
                    low: quantile(&values, 0.025)?,
                    high: quantile(&values, 0.975)?,
                })
            })
            .collect()
    }

    /// Intervals of means over photos: `values` holds each photo's whale and what is averaged.
    pub fn means<const K: usize>(
        &self,
        whales: usize,
        values: impl Iterator<Item = (usize, [f64; K])>,
    ) -> Vec<Option<Interval>> {
        let mut sums = vec![([0.0; K], 0.0); whales];
        for (whale, value) in values {
            let (sum, count) = &mut sums[whale];
            sum.iter_mut().zip(value).for_each(|(s, v)| *s += v);
            *count += 1.0;
        }
        // Whales without a query must not be drawn, or a resample would have fewer whales than the sample.
        sums.retain(|(_, count)| *count > 0.0);
        self.intervals(sums.len(), |weights| {
            let (mut total, mut photos) = ([0.0; K], 0.0);
            for ((sum, count), &weight) in sums.iter().zip(weights) {
                let weight = f64::from(weight);
                total
                    .iter_mut()
                    .zip(sum)
                    .for_each(|(t, s)| *t += weight * s);
                photos += weight * count;
            }
            total.iter().map(|t| t / photos).collect()
        })
    }
}

/// The quantile of sorted values, between neighbours in proportion.
fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let place = at * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: Bootstrap = Bootstrap {
        resamples: 2000,
        seed: 7,
    };

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values = || (0..50usize).map(|w| (w, [(w as f64).sqrt()]));
        let once = MANY.means(50, values());
        assert_eq!(once, MANY.means(50, values()));
        assert_ne!(once, Bootstrap { seed: 8, ..MANY }.means(50, values()));
    }

    #[test]
    fn a_share_has_the_width_that_theory_says() {
        // 100 whales of one photo, half of them found: the standard error is 0.05.
        let interval = MANY.means(100, (0..100).map(|w| (w, [(w % 2) as f64])))[0].unwrap();
        assert!(
            (interval.low - 0.402).abs() < 0.02 && (interval.high - 0.598).abs() < 0.02,
            "{interval:?}"
        );
    }

    #[test]
    fn many_photos_of_few_whales_are_worth_few_witnesses() {
        let of_whales = |photos: usize| {
            let values = (0..20).flat_map(move |w| (0..photos).map(move |_| (w, [(w % 2) as f64])));
            let i = MANY.means(20, values)[0].unwrap();
            i.high - i.low
        };
        assert!((of_whales(1) - of_whales(50)).abs() < 1e-9);
    }

    #[test]
    fn a_figure_without_a_value_has_no_interval() {
        let found = MANY.intervals(3, |_| vec![f64::NAN, 1.0]);
        assert_eq!(
            found,
            [
                None,
                Some(Interval {
                    low: 1.0,
                    high: 1.0
                })
            ]
        );
        assert_eq!(
            Bootstrap {
                resamples: 0,
                seed: 1
            }
            .intervals(3, |_| vec![1.0]),
            [None]
        );
    }
}
