//! Reliability of predicted probabilities (Guo et al., 'On Calibration of Modern Neural Networks',
//! ICML 2017).

use serde::Serialize;

/// Photos whose predicted probability lies in one tenth of [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Number of photos.
    pub photos: usize,
    /// Mean of their predicted probabilities.
    pub mean_probability: f64,
    /// Fraction that was right.
    pub fraction_correct: f64,
}

/// Number of bins of equal width.
pub const BINS: usize = 10;

/// Bins predictions: the probability, and whether it was right.
pub fn reliability(predictions: &[(f64, bool)]) -> [ReliabilityBin; BINS] {
    let mut bins = [ReliabilityBin::default(); BINS];
    for &(probability, right) in predictions {
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.photos += 1;
        bin.mean_probability += probability;
        bin.fraction_correct += f64::from(u8::from(right));
    }
    for bin in bins.iter_mut().filter(|b| b.photos > 0) {
        bin.mean_probability /= bin.photos as f64;
        bin.fraction_correct /= bin.photos as f64;
    }
    bins
}

/// Expected calibration error: |probability - fraction correct|, averaged over the photos. NaN
/// without any.
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> f64 {
    let photos: usize = bins.iter().map(|b| b.photos).sum();
    let sum: f64 = bins
        .iter()
        .map(|b| b.photos as f64 * (b.mean_probability - b.fraction_correct).abs())
        .sum();
    sum / photos as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_error_worked_by_hand() {
        // Two at 0.8, one right: apart by 0.3. Two at 0.1, none right: apart by 0.1.
        let bins = reliability(&[(0.8, true), (0.8, false), (0.1, false), (0.1, false)]);
        assert_eq!((bins[8].photos, bins[1].photos), (2, 2));
        assert!((expected_calibration_error(&bins) - (2.0 * 0.3 + 2.0 * 0.1) / 4.0).abs() < 1e-12);
        assert_eq!(reliability(&[(1.0, true)])[9].photos, 1);
        assert!(expected_calibration_error(&reliability(&[])).is_nan());
    }
}
