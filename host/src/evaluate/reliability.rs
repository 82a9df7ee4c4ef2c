//! Whether a probability can be taken at its word: a logistic curve from score and lead to the chance that the first whale is
//! right (Platt 1999), and what came true at each chance named (Guo et al., 'On Calibration of Modern Neural Networks', ICML 2017).

use serde::Serialize;

/// What is known of a ranking when its chance is named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The cosine of the first whale.
    pub score: f32,
    /// How far the second whale is behind it.
    pub lead: f32,
}

/// The chance that the first whale is right: `1 / (1 + exp(-(a + b score + c lead)))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chance {
    /// a, b and c.
    pub weights: [f64; 3],
}

impl Chance {
    /// Fits the curve by Newton's method, drawn a little towards 0 so that groups that lie apart give a steep curve and no
    /// endless one. `None` without a case.
    pub fn fit(cases: &[(Evidence, bool)]) -> Option<Self> {
        const RIDGE: f64 = 1e-2;
        const ROUNDS: usize = 50;
        if cases.is_empty() {
            return None;
        }
        let mut chance = Self { weights: [0.0; 3] };
        for _ in 0..ROUNDS {
            let mut slope = chance.weights.map(|w| -RIDGE * w);
            let mut bend = [[0.0; 3]; 3];
            for (i, row) in bend.iter_mut().enumerate() {
                row[i] = RIDGE;
            }
            for (evidence, right) in cases {
                let (x, p) = (features(evidence), chance.of(evidence));
                for i in 0..3 {
                    slope[i] += (f64::from(u8::from(*right)) - p) * x[i];
                    for j in 0..3 {
                        bend[i][j] += p * (1.0 - p) * x[i] * x[j];
                    }
                }
            }
            let step = solve(bend, slope)?;
            // A full step may overshoot where the curve is nearly flat.
            let length = step.iter().map(|s| s * s).sum::<f64>().sqrt();
            let factor = (10.0 / length.max(1e-12)).min(1.0);
            chance
                .weights
                .iter_mut()
                .zip(step)
                .for_each(|(w, s)| *w += factor * s);
            if length < 1e-9 {
                break;
            }
        }
        Some(chance)
    }

    /// The chance, in 0..=1.
    pub fn of(&self, evidence: &Evidence) -> f64 {
        let x = features(evidence);
        let sum: f64 = self.weights.iter().zip(x).map(|(w, x)| w * x).sum();
        1.0 / (1.0 + (-sum).exp())
    }
}

fn features(evidence: &Evidence) -> [f64; 3] {
    [1.0, f64::from(evidence.score), f64::from(evidence.lead)]
}

/// Solves `a x = b` by elimination; `None` where `a` has no inverse.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> Option<[f64; 3]> {
    for at in 0..3 {
        let pivot = (at..3).max_by(|&i, &j| a[i][at].abs().total_cmp(&a[j][at].abs()))?;
        a.swap(at, pivot);
        b.swap(at, pivot);
        if a[at][at].abs() < 1e-300 {
            return None;
        }
        for row in (0..3).filter(|&row| row != at) {
            let factor = a[row][at] / a[at][at];
            let pivot_row = a[at];
            a[row]
                .iter_mut()
                .zip(pivot_row)
                .for_each(|(to, from)| *to -= factor * from);
            b[row] -= factor * b[at];
        }
    }
    Some([b[0] / a[0][0], b[1] / a[1][1], b[2] / a[2][2]])
}

/// Photos whose chance was named between two tenths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// How many.
    pub photos: usize,
    /// The mean of their chances.
    pub chance: f64,
    /// The share that was right.
    pub right: f64,
}

/// Bins of [`reliability`], a tenth each.
pub const BINS: usize = 10;

/// Sorts cases (the chance named, and whether it came true) into bins.
pub fn reliability(cases: &[(f64, bool)]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for &(chance, right) in cases {
        let bin = &mut bins[((chance * BINS as f64) as usize).min(BINS - 1)];
        bin.photos += 1;
        bin.chance += chance;
        bin.right += f64::from(u8::from(right));
    }
    for bin in bins.iter_mut().filter(|b| b.photos > 0) {
        bin.chance /= bin.photos as f64;
        bin.right /= bin.photos as f64;
    }
    bins
}

/// The expected calibration error: how far chance and truth lie apart, averaged over the photos. NaN without any.
pub fn calibration_error(bins: &[Bin]) -> f64 {
    let photos: usize = bins.iter().map(|b| b.photos).sum();
    let apart: f64 = bins
        .iter()
        .map(|b| b.photos as f64 * (b.chance - b.right).abs())
        .sum();
    apart / photos as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(score: f32, lead: f32) -> Evidence {
        Evidence { score, lead }
    }

    #[test]
    fn calibration_error_worked_by_hand() {
        // Two at 0.8, one right: apart by 0.3. Two at 0.1, none right: apart by 0.1.
        let bins = reliability(&[(0.8, true), (0.8, false), (0.1, false), (0.1, false)]);
        assert_eq!((bins[8].photos, bins[1].photos), (2, 2));
        assert!((calibration_error(&bins) - (2.0 * 0.3 + 2.0 * 0.1) / 4.0).abs() < 1e-12);
        assert_eq!(reliability(&[(1.0, true)])[9].photos, 1);
        assert!(calibration_error(&reliability(&[])).is_nan());
    }

    #[test]
    fn the_curve_learns_the_shares() {
        // At 0.2 a quarter is right, at 0.8 three quarters.
        let cases: Vec<_> = (0..400)
            .map(|i| {
                if i % 2 == 0 {
                    (evidence(0.2, 0.1), i % 8 == 0)
                } else {
                    (evidence(0.8, 0.1), i % 8 != 1)
                }
            })
            .collect();
        let chance = Chance::fit(&cases).unwrap();
        assert!(
            (chance.of(&evidence(0.2, 0.1)) - 0.25).abs() < 0.01,
            "{chance:?}"
        );
        assert!(
            (chance.of(&evidence(0.8, 0.1)) - 0.75).abs() < 0.01,
            "{chance:?}"
        );
    }

    #[test]
    fn a_lead_counts_where_it_tells() {
        let cases: Vec<_> = (0..100)
            .map(|i| {
                (
                    evidence(0.5, if i % 2 == 0 { 0.3 } else { 0.0 }),
                    i % 2 == 0,
                )
            })
            .collect();
        let chance = Chance::fit(&cases).unwrap();
        assert!(chance.of(&evidence(0.5, 0.3)) > 0.9 && chance.of(&evidence(0.5, 0.0)) < 0.1);
    }

    #[test]
    fn cases_of_one_kind_give_a_finite_curve() {
        let chance = Chance::fit(&[(evidence(0.5, 0.1), true); 5]).unwrap();
        assert!(
            chance.weights.iter().all(|w| w.is_finite()) && chance.of(&evidence(0.5, 0.1)) > 0.8
        );
        assert_eq!(Chance::fit(&[]), None);
    }
}
