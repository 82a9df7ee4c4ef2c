//! How often a tensor's values come how large, and the range that int8 should cover: 127 steps up to it, what lies beyond is cut off.
//!
//! Values are counted by their absolute value, since the steps are symmetric. Seen twice: once for how far the histogram must reach,
//! once to be counted.

/// So many bins a tensor.
pub const BINS: usize = 2048;
/// Steps of int8 on one side of zero.
const STEPS: f64 = 127.0;
/// Levels that the divergence is measured with: 128 on one side, as NVIDIA does it.
const LEVELS: usize = 128;

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The largest value that was seen: nothing is cut off.
    Max,
    /// So many of a hundred values lie within.
    Percentile(f64),
    /// The range whose rounded histogram diverges least from the whole one (Kullback-Leibler; Migacz, *8-bit inference with TensorRT*,
    /// GTC 2017, in the form of NVIDIA's pytorch-quantization).
    Entropy,
    /// The range with the least squared error: rounding inside, cutting off outside.
    Mse,
}

/// The absolute values of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    peak: f32,
    reach: f32,
    bins: Vec<u64>,
}

impl Histogram {
    /// First pass: how far values go. One that is no number counts as infinite.
    pub fn reach_to(&mut self, values: &[f32]) {
        let size = |v: &f32| if v.is_nan() { f32::INFINITY } else { v.abs() };
        self.peak = values.iter().map(size).fold(self.peak, f32::max);
    }

    /// Between the passes: the bins reach to `margin` times the largest value seen.
    pub fn settle(&mut self, margin: f32) {
        self.reach = if self.peak > 0.0 {
            self.peak * margin
        } else {
            1.0
        };
        self.bins = vec![0; BINS];
    }

    /// Second pass: counts. What lies beyond the reach counts in the last bin.
    pub fn count(&mut self, values: &[f32]) {
        let per_bin = BINS as f32 / self.reach;
        for v in values {
            self.bins[((v.abs() * per_bin) as usize).min(BINS - 1)] += 1;
        }
    }

    /// What another one has seen, of the same reach if it has counted, as if this one had.
    pub fn merge(&mut self, other: &Self) {
        self.peak = self.peak.max(other.peak);
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
    }

    /// The largest value that the first pass saw.
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// The range by `method`; above 0 even where all values are 0.
    pub fn range(&self, method: Method) -> f32 {
        let width = f64::from(self.reach) / BINS as f64;
        let end = match method {
            Method::Max if self.peak > 0.0 => return self.peak,
            Method::Max => BINS,
            Method::Percentile(percent) => percentile(&self.bins, percent),
            Method::Entropy => least_divergence(&self.bins, LEVELS),
            Method::Mse => least_error(&self.bins),
        };
        (end as f64 * width) as f32
    }
}

/// The fewest bins that hold `percent` of all values.
fn percentile(bins: &[u64], percent: f64) -> usize {
    let total: u64 = bins.iter().sum();
    let wanted = total as f64 * percent / 100.0;
    let mut held = 0;
    for (i, n) in bins.iter().enumerate() {
        held += n;
        // A share of a value is no value.
        if held > 0 && held as f64 >= wanted - 1e-9 {
            return i + 1;
        }
    }
    bins.len()
}

/// How many bins to keep so that, rounded to `levels`, they diverge least from all of them. What is cut off lies in the last bin that is
/// kept. The first bin is taken to hold as much as the second: zeros, which Relu makes in great number, are exact whatever the range.
fn least_divergence(bins: &[u64], levels: usize) -> usize {
    let mut bins = bins.to_vec();
    if let [first, second, ..] = bins.as_mut_slice() {
        *first = *second;
    }
    let total: u64 = bins.iter().sum();
    let mut best = (f64::INFINITY, bins.len());
    let mut inside: u64 = bins.iter().take(levels.saturating_sub(1)).sum();
    for end in levels..=bins.len() {
        inside += bins[end - 1];
        let divergence = divergence(&bins[..end], levels, inside, total - inside);
        if divergence <= best.0 {
            best = (divergence, end);
        }
    }
    best.1
}

/// Of `kept` with `cut` more values in the last bin, from `kept` rounded to `levels` of equally many bins.
fn divergence(kept: &[u64], levels: usize, inside: u64, cut: u64) -> f64 {
    let (last, total) = (kept.len() - 1, (inside + cut) as f64);
    let mut sum = 0.0;
    let mut from = 0;
    for level in 1..=levels {
        let to = (level * kept.len()).div_ceil(levels);
        let bins = &kept[from..to];
        let filled = bins.iter().filter(|&&n| n > 0).count();
        // A level's values are spread evenly over those of its bins that hold any.
        let rounded = bins.iter().sum::<u64>() as f64 / filled.max(1) as f64 / inside as f64;
        for (i, &n) in bins.iter().enumerate() {
            let whole = (n + if from + i == last { cut } else { 0 }) as f64 / total;
            if whole > 0.0 && n == 0 {
                return f64::INFINITY;
            }
            if whole > 0.0 {
                sum += whole * (whole / rounded).ln();
            }
        }
        from = to;
    }
    sum
}

/// How many bins to keep so that rounding inside and cutting off outside cost the least squared error.
fn least_error(bins: &[u64]) -> usize {
    let highest = bins.iter().rposition(|&n| n > 0).unwrap_or(bins.len() - 1) + 1;
    let lowest = (highest / 8).max(1);
    // In bins; a value rounded to a step of size s is off by s²/12 in the mean square.
    let cost = |end: usize| -> f64 {
        let step = end as f64 / STEPS;
        let inside: u64 = bins[..end].iter().sum();
        let cut: f64 = bins[end..highest]
            .iter()
            .enumerate()
            .map(|(beyond, &n)| n as f64 * (beyond as f64 + 0.5).powi(2))
            .sum();
        inside as f64 * step * step / 12.0 + cut
    };
    (lowest..=highest)
        .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
        .unwrap_or(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32], margin: f32) -> Histogram {
        let mut h = Histogram::default();
        h.reach_to(values);
        h.settle(margin);
        h.count(values);
        h
    }

    #[test]
    fn an_even_spread_keeps_its_whole_range() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0 * 6.0).collect();
        let range = histogram(&values, 1.2).range(Method::Mse);
        assert!((5.8..=6.1).contains(&range), "{range}");
    }

    #[test]
    fn a_lone_outlier_is_cut_off() {
        let mut values: Vec<f32> = (0..1_000_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        values.push(4.0);
        let h = histogram(&values, 1.2);
        for method in [Method::Mse, Method::Entropy, Method::Percentile(99.99)] {
            let range = h.range(method);
            assert!((0.9..2.0).contains(&range), "{method:?}: {range}");
        }
        assert_eq!(h.range(Method::Max), 4.0);
    }

    #[test]
    fn a_tensor_of_zeros_has_a_range() {
        let h = histogram(&[0.0; 10], 1.0);
        for method in [
            Method::Max,
            Method::Percentile(99.0),
            Method::Entropy,
            Method::Mse,
        ] {
            assert!(h.range(method) > 0.0, "{method:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_seen() {
        let mut h = Histogram::default();
        h.reach_to(&[1.0, f32::NAN]);
        assert_eq!(h.peak(), f32::INFINITY);
    }

    #[test]
    fn two_halves_make_the_whole() {
        let (one, other) = ([0.5, -2.0, 0.1], [4.0, 0.0]);
        let mut whole = histogram(&[0.5, -2.0, 0.1, 4.0, 0.0], 1.0);
        let mut halves = [Histogram::default(), Histogram::default()];
        halves[0].reach_to(&one);
        halves[1].reach_to(&other);
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

    /// 10 values: 5 in the first bin, 3 in the second, 1 in the third, 1 in the fifth.
    #[test]
    fn percentiles_by_hand() {
        let bins = [5, 3, 1, 0, 1];
        let ends = [50.0, 80.0, 81.0, 90.0, 90.1, 100.0].map(|p| percentile(&bins, p));
        assert_eq!(ends, [1, 2, 3, 3, 5, 5]);
        // In numbers: 2048 bins up to 2, 99 values of 0.5 (bin 512) and one of 2.
        let mut values = vec![0.5; 99];
        values.push(-2.0);
        let h = histogram(&values, 1.0);
        assert_eq!(h.range(Method::Percentile(99.0)), 513.0 * 2.0 / 2048.0);
        assert_eq!(h.range(Method::Percentile(99.5)), 2.0);
        assert_eq!(h.range(Method::Max), 2.0);
    }

    /// Two levels. Keeping 2 of [4, 4, 4, 4]: [4, 12]/16 from [4, 4]/8 is 1/4 ln 1/2 + 3/4 ln 3/2 = 0.1308. Keeping 3: the levels are
    /// bins 0 and 1, and bin 2: [4, 4, 8]/16 from [4, 4, 4]/12 is 1/2 ln 3/4 + 1/2 ln 3/2 = 0.0589. Keeping 4: 0.
    #[test]
    fn divergences_by_hand() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-4, "{a} and {b}");
        near(divergence(&[4, 4], 2, 8, 8), 0.1308);
        near(divergence(&[4, 4, 4], 2, 12, 4), 0.0589);
        near(divergence(&[4, 4, 4, 4], 2, 16, 0), 0.0);
        assert_eq!(least_divergence(&[4, 4, 4, 4], 2), 4);
        // The outlier's bin makes the others share a level: [4, 4, 2, 0, 0, 0, 0, 1]/11 with all kept has levels of [4, 4, 2] and [1], so
        // 8/11 ln (4 / (10/3)) + 2/11 ln (2 / (10/3)) = 0.0397. Three kept, with the outlier in the third: levels [4, 4] and [2], so
        // [4, 4, 3]/11 from [4, 4, 2]/10: 8/11 ln (10/11) + 3/11 ln (15/11) = 0.0153. Two kept: [4, 7]/11 from [4, 4]/8 = 0.0377. Four
        // to seven kept: an empty bin would have to hold what is cut off.
        let bins = [9, 4, 2, 0, 0, 0, 0, 1];
        near(divergence(&[4, 4, 2, 0, 0, 0, 0, 1], 2, 11, 0), 0.0397);
        near(divergence(&[4, 4, 2], 2, 10, 1), 0.0153);
        near(divergence(&[4, 4], 2, 8, 3), 0.0377);
        assert_eq!(divergence(&[4, 4, 2, 0], 2, 10, 1), f64::INFINITY);
        assert_eq!(least_divergence(&bins, 2), 3);
    }

    /// In units of a bin: to keep `e` of the bins costs `inside e²/(127² 12)`, and the square of how far the others lie beyond.
    #[test]
    fn the_least_error_by_hand() {
        // 1,000,000 values in bin 0 and one in bin 15. All kept: 1,000,001 x 256 / 193,548 = 1322.7. Two: 20.7 + 13.5² = 202.9. Three:
        // 46.5 + 12.5² = 202.7. Four: 82.7 + 11.5² = 214.9. (At least an eighth of 16 bins is kept.)
        let mut bins = vec![0; 16];
        (bins[0], bins[15]) = (1_000_000, 1);
        assert_eq!(least_error(&bins), 3);
        // Ten thousand there are worth keeping: all kept 1336, 15 kept 1163 + 10,000 x 0.25.
        bins[15] = 10_000;
        assert_eq!(least_error(&bins), 16);
    }
}
