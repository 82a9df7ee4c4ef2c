//! Percentile intervals by the bootstrap over whales (Efron & Tibshirani 1993). Whales are drawn
//! with replacement and bring all their photos: photos of one whale are not independent.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

/// The central 95 % of the resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Number of resamples and their seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples; 0 for no intervals.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
}

impl Bootstrap {
    /// Intervals of the metrics that `metrics` computes from a weight per whale: how often it was
    /// drawn. Values that are not finite are skipped; a metric without any finite value is `None`.
    pub fn intervals(
        &self,
        whales: usize,
        metrics: impl Fn(&[u32]) -> Vec<f64> + Sync,
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
                metrics(&weights)
            })
            .collect();
        let count = metrics(&vec![1; whales]).len();
        (0..count)
            .map(|at| {
                let mut values: Vec<f64> = drawn.iter().map(|metrics| metrics[at]).collect();
                values.retain(|v| v.is_finite());
                values.sort_by(f64::total_cmp);
                Some(Interval {
                    low: quantile(&values, 0.025)?,
                    high: quantile(&values, 0.975)?,
                })
            })
            .collect()
    }

    /// Intervals of means over photos: `values` holds the whale of each photo and the value to
    /// average.
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
        // If whales without a query were drawn, a resample would have fewer whales than the sample.
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

/// Quantile of sorted values with linear interpolation.
fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let position = at * (sorted.len().checked_sub(1)?) as f64;
    let (below, above) = (
        sorted[position.floor() as usize],
        sorted[position.ceil() as usize],
    );
    Some(below + (above - below) * position.fract())
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
    fn the_interval_of_a_proportion_has_the_width_of_theory() {
        // 100 whales of one photo, half of them found: the standard error is 0.05.
        let interval = MANY.means(100, (0..100).map(|w| (w, [(w % 2) as f64])))[0].unwrap();
        assert!(
            (interval.low - 0.402).abs() < 0.02 && (interval.high - 0.598).abs() < 0.02,
            "{interval:?}"
        );
    }

    #[test]
    fn many_photos_of_few_whales_do_not_narrow_the_interval() {
        let of_whales = |photos: usize| {
            let values = (0..20).flat_map(move |w| (0..photos).map(move |_| (w, [(w % 2) as f64])));
            let i = MANY.means(20, values)[0].unwrap();
            i.high - i.low
        };
        assert!((of_whales(1) - of_whales(50)).abs() < 1e-9);
    }

    #[test]
    fn a_metric_without_a_value_has_no_interval() {
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
