//! The distribution of a tensor's absolute values, and the range that int8 should cover: 127 levels
//! up to it, larger values are clipped.
//!
//! Two passes: the first decides how far the bins reach, the second counts.

const BINS: usize = 2048;
/// int8 levels on one side of zero.
const LEVELS: f64 = 127.0;

/// The absolute values of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    peak: f32,
    reach: f32,
    bins: Vec<u64>,
}

impl Histogram {
    /// First pass: finds the largest value. NaN counts as infinite.
    pub(crate) fn see_peak(&mut self, values: &[f32]) {
        let size = |v: &f32| if v.is_nan() { f32::INFINITY } else { v.abs() };
        self.peak = values.iter().map(size).fold(self.peak, f32::max);
    }

    /// Between the passes: the bins reach to `headroom` times the largest value seen.
    pub(crate) fn settle(&mut self, headroom: f32) {
        self.reach = if self.peak > 0.0 {
            self.peak * headroom
        } else {
            1.0
        };
        self.bins = vec![0; BINS];
    }

    /// Second pass: counts. Values beyond the reach count in the last bin.
    pub(crate) fn count(&mut self, values: &[f32]) {
        self.see_peak(values);
        let per_bin = BINS as f32 / self.reach;
        for v in values {
            self.bins[((v.abs() * per_bin) as usize).min(BINS - 1)] += 1;
        }
    }

    /// Adds the values of another histogram, of the same reach after [`Self::settle`].
    pub(super) fn merge(&mut self, other: &Self) {
        self.peak = self.peak.max(other.peak);
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
    }

    /// The largest value seen; infinite where one was not finite.
    pub(super) fn peak(&self) -> f32 {
        self.peak
    }

    /// The range with the least squared error, above 0 even where all values are 0.
    pub(crate) fn range(&self) -> f32 {
        let width = f64::from(self.reach) / BINS as f64;
        (least_error(&self.bins) as f64 * width) as f32
    }
}

/// How many bins to keep for the least squared error of rounding inside and clipping outside.
fn least_error(bins: &[u64]) -> usize {
    let highest = bins.iter().rposition(|&n| n > 0).unwrap_or(bins.len() - 1) + 1;
    let lowest = (highest / 8).max(1);
    // In bins. The mean squared error of rounding to a scale s is s²/12.
    let cost = |end: usize| -> f64 {
        let scale = end as f64 / LEVELS;
        let inside: u64 = bins[..end].iter().sum();
        let clipped: f64 = bins[end..highest]
            .iter()
            .enumerate()
            .map(|(beyond, &n)| n as f64 * (beyond as f64 + 0.5).powi(2))
            .sum();
        inside as f64 * scale * scale / 12.0 + clipped
    };
    (lowest..=highest)
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
        .unwrap_or(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32], headroom: f32) -> Histogram {
        let mut h = Histogram::default();
        h.see_peak(values);
        h.settle(headroom);
        h.count(values);
        h
    }

    #[test]
    fn an_even_spread_keeps_its_whole_range() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0 * 6.0).collect();
        let range = histogram(&values, 1.2).range();
        assert!((5.8..=6.1).contains(&range), "{range}");
    }

    #[test]
    fn a_lone_outlier_is_clipped() {
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(4.0);
        let range = histogram(&values, 1.2).range();
        assert!((0.9..2.0).contains(&range), "{range}");
    }

    #[test]
    fn a_tensor_of_zeros_has_a_range() {
        assert!(histogram(&[0.0; 10], 1.0).range() > 0.0);
    }

    #[test]
    fn values_that_are_not_finite_are_seen_in_both_passes() {
        let mut h = Histogram::default();
        h.see_peak(&[1.0]);
        assert_eq!(h.peak(), 1.0);
        h.settle(1.2);
        h.count(&[f32::NAN]);
        assert_eq!(h.peak(), f32::INFINITY);
    }

    #[test]
    fn merged_halves_equal_the_whole() {
        let (one, other) = ([0.5, -2.0, 0.1], [4.0, 0.0]);
        let mut whole = histogram(&[0.5, -2.0, 0.1, 4.0, 0.0], 1.0);
        let mut halves = [Histogram::default(), Histogram::default()];
        halves[0].see_peak(&one);
        halves[1].see_peak(&other);
        let [mut joined, second] = halves;
        joined.merge(&second);
        joined.settle(1.0);
        let mut apart = joined.clone();
        joined.count(&one);
        apart.count(&other);
        joined.merge(&apart);
        assert_eq!(joined, whole);
        whole.count(&[1.0]);
        assert_ne!(joined, whole);
    }

    /// In units of a bin: to keep `e` of the bins costs `inside e²/(127² 12)`, and the square of
    /// how far the others lie beyond.
    #[test]
    fn the_least_error_by_hand() {
        // 1,000,000 values in bin 0 and one in bin 15. All kept: 1,000,001 x 256 / 193,548 =
        // 1322.7. Two: 20.7 + 13.5² = 202.9. Three: 46.5 + 12.5² = 202.7. Four: 82.7 + 11.5² =
        // 214.9. (At least an eighth of 16 bins is kept.)
        let mut bins = vec![0; 16];
        (bins[0], bins[15]) = (1_000_000, 1);
        assert_eq!(least_error(&bins), 3);
        // Ten thousand there are worth keeping: all kept 1336, 15 kept 1163 + 10,000 x 0.25.
        bins[15] = 10_000;
        assert_eq!(least_error(&bins), 16);
    }
}
