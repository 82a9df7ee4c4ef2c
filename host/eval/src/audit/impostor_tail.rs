//! How high the best score between different whales is by chance.
//!
//! The best of many impostor scores follows a Gumbel distribution (Gumbel 1958), `P(S <= s) =
//! exp(-exp(-(s - m) / b))`, like alignment scores in sequence databases (Karlin and Altschul, PNAS
//! 1990). As there, the measure is not a probability but the expected number of false findings.
//! Location and scale are fitted to the quartiles, which the few genuine matches do not move.

/// Least number of scores for a fit.
const MIN_SCORES: usize = 20;

/// The distribution of best impostor scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ImpostorTail {
    location: f64,
    scale: f64,
    scores: usize,
}

impl ImpostorTail {
    /// Fits the best impostor score of each of many photos or whales; `None` with fewer than
    /// [`MIN_SCORES`] or if half of them are equal.
    pub(super) fn fit(best: &[f32]) -> Option<Self> {
        if best.len() < MIN_SCORES {
            return None;
        }
        let mut sorted = best.to_vec();
        sorted.sort_by(f32::total_cmp);
        let at = |p: f64| f64::from(sorted[(p * (sorted.len() - 1) as f64) as usize]);
        // The quantile of p is m - b ln(-ln p).
        let reduced = |p: f64| -(-p.ln()).ln();
        let scale = (at(0.75) - at(0.25)) / (reduced(0.75) - reduced(0.25));
        (scale > 1e-6).then(|| Self {
            location: at(0.5) - scale * reduced(0.5),
            scale,
            scores: best.len(),
        })
    }

    /// Probability that a best impostor score reaches `score`.
    pub(super) fn p_value(&self, score: f32) -> f64 {
        let reduced = (f64::from(score) - self.location) / self.scale;
        -(-(-reduced).exp()).exp_m1()
    }

    /// Expected number of impostor scores at `score` or above.
    pub(super) fn expected_above(&self, score: f32) -> f64 {
        self.scores as f64 * self.p_value(score)
    }
}

/// Number of findings, best first, at a false discovery rate of at most `rate`: the largest k at
/// which no more than `rate` k are expected by chance (Benjamini and Hochberg, J. R. Stat. Soc. B
/// 1995). `expected` is the expected number of false findings at least as good as each, ascending.
pub(super) fn benjamini_hochberg(expected: &[f64], rate: f64) -> usize {
    (1..=expected.len())
        .rev()
        .find(|&k| expected[k - 1] <= rate * k as f64)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn drawn(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let u: f64 = rng.random_range(1e-12..1.0);
                (0.4 - 0.05 * (-u.ln()).ln()) as f32
            })
            .collect()
    }

    #[test]
    fn the_expected_number_matches_the_count() {
        // Fitted on some, counted on 50 times as many others.
        let tail = ImpostorTail::fit(&drawn(2_000, 1)).unwrap();
        let others = drawn(100_000, 2);
        for score in [0.5f32, 0.6, 0.7] {
            let counted = others.iter().filter(|&&s| s >= score).count() as f64 / 50.0;
            let expected = tail.expected_above(score);
            assert!(
                (expected / counted - 1.0).abs() < 0.3,
                "{score}: {expected} {counted}"
            );
        }
    }

    #[test]
    fn a_few_genuine_matches_do_not_move_it() {
        let clean = drawn(1_000, 3);
        let mut mixed = clean.clone();
        mixed[..20].fill(0.95);
        let [clean, mixed] = [clean, mixed].map(|s| ImpostorTail::fit(&s).unwrap());
        assert!(mixed.expected_above(0.6) < 1.5 * clean.expected_above(0.6));
    }

    #[test]
    fn findings_are_kept_while_few_are_false() {
        // 0.3 of 1 is too many, but 0.35 of 2 is not.
        assert_eq!(benjamini_hochberg(&[0.3, 0.35, 0.9, 1.5], 0.2), 2);
        assert_eq!(benjamini_hochberg(&[0.3, 0.9], 0.2), 0);
        assert_eq!(benjamini_hochberg(&[], 0.2), 0);
    }

    #[test]
    fn too_few_or_equal_scores_give_no_fit() {
        assert_eq!(ImpostorTail::fit(&drawn(MIN_SCORES - 1, 4)), None);
        assert_eq!(ImpostorTail::fit(&[0.5; 40]), None);
    }
}
