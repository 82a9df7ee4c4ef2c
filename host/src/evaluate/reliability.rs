//! Whether a probability can be taken at its word: what came true at each chance named (Guo et al., 'On Calibration of Modern
//! Neural Networks', ICML 2017).

use serde::Serialize;

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

    #[test]
    fn calibration_error_worked_by_hand() {
        // Two at 0.8, one right: apart by 0.3. Two at 0.1, none right: apart by 0.1.
        let bins = reliability(&[(0.8, true), (0.8, false), (0.1, false), (0.1, false)]);
        assert_eq!((bins[8].photos, bins[1].photos), (2, 2));
        assert!((calibration_error(&bins) - (2.0 * 0.3 + 2.0 * 0.1) / 4.0).abs() < 1e-12);
        assert_eq!(reliability(&[(1.0, true)])[9].photos, 1);
        assert!(calibration_error(&reliability(&[])).is_nan());
    }
}
