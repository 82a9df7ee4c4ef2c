//! How high a score between strangers may be by chance.
//!
//! The best of many scores between different whales follows a Gumbel distribution (Gumbel 1958), `P(S <= s) = exp(-exp(-(s - m) /
//! b))`, as alignment scores do in the search of sequence databases (Karlin and Altschul, PNAS 1990), from where the measure is
//! taken too: not a probability but the number of false findings to expect among so many. Location and scale come from the
//! quartiles, so that the few scores that are not between strangers, those that are looked for, do not move them.

/// Fewer scores than these say nothing about a tail.
pub const ENOUGH: usize = 20;

/// Best scores between strangers, as they are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrangerTail {
    location: f64,
    scale: f64,
    scores: usize,
}

impl StrangerTail {
    /// Fits the tail to the best score of each of many photos or whales among strangers; `None` where there are fewer than
    /// [`ENOUGH`], or where half of them are equal.
    pub fn fit(best: &[f32]) -> Option<Self> {
        if best.len() < ENOUGH {
            return None;
        }
        let mut sorted = best.to_vec();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f64| f64::from(sorted[(share * (sorted.len() - 1) as f64) as usize]);
        // The quantile of the share p is m - b ln(-ln p).
        let depth = |share: f64| -(-share.ln()).ln();
        let scale = (at(0.75) - at(0.25)) / (depth(0.75) - depth(0.25));
        (scale > 1e-6).then(|| Self {
            location: at(0.5) - scale * depth(0.5),
            scale,
            scores: best.len(),
        })
    }

    /// The chance that the best score among strangers reaches `score`.
    pub fn chance_of(&self, score: f32) -> f64 {
        let depth = (f64::from(score) - self.location) / self.scale;
        -(-(-depth).exp()).exp_m1()
    }

    /// How many of the scores are to be expected at `score` or above though all were between strangers.
    pub fn expected_above(&self, score: f32) -> f64 {
        self.scores as f64 * self.chance_of(score)
    }
}

/// How many of the findings, best first, may be shown so that at most the share `rate` of them is false: the largest number k
/// at which no more than `rate` k are expected by chance (Benjamini and Hochberg, J. R. Stat. Soc. B 1995). `expected` is for
/// each finding the number of false ones to expect that are as good or better, ascending.
pub fn believable(expected: &[f64], rate: f64) -> usize {
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
    fn the_expected_number_is_what_chance_gives() {
        // Fitted on some, counted on 50 times as many others.
        let tail = StrangerTail::fit(&drawn(2_000, 1)).unwrap();
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
    fn a_few_that_are_no_strangers_do_not_move_it() {
        let clean = drawn(1_000, 3);
        let mut mixed = clean.clone();
        mixed[..20].fill(0.95);
        let [clean, mixed] = [clean, mixed].map(|s| StrangerTail::fit(&s).unwrap());
        assert!(mixed.expected_above(0.6) < 1.5 * clean.expected_above(0.6));
    }

    #[test]
    fn findings_are_shown_while_few_of_them_are_false() {
        // 0.3 of 1 is too many, but 0.35 of 2 is not.
        assert_eq!(believable(&[0.3, 0.35, 0.9, 1.5], 0.2), 2);
        assert_eq!(believable(&[0.3, 0.9], 0.2), 0);
        assert_eq!(believable(&[], 0.2), 0);
    }

    #[test]
    fn too_few_or_all_equal_scores_say_nothing() {
        assert_eq!(StrangerTail::fit(&drawn(ENOUGH - 1, 4)), None);
        assert_eq!(StrangerTail::fit(&[0.5; 40]), None);
    }
}
