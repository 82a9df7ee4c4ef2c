//! Learning rate schedule: linear warm-up, then half a cosine.

/// Factors on the peak learning rates over the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUpCosine {
    /// Fraction of all steps that the linear rise to the peak takes; at least one step.
    pub warm_up_fraction: f64,
    /// Factor at the end.
    pub floor: f64,
    /// Steps of the run.
    pub steps: u64,
}

impl WarmUpCosine {
    /// The factor at `step`, counted from 0.
    pub fn lr_factor(&self, step: u64) -> f64 {
        let (step, steps) = (step as f64, self.steps as f64);
        let warm = (self.warm_up_fraction * steps).max(1.0);
        if step < warm {
            return (step + 1.0) / warm;
        }
        let done = ((step - warm) / (steps - warm).max(1.0)).min(1.0);
        self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_rises_and_falls() {
        let schedule = WarmUpCosine {
            warm_up_fraction: 0.05,
            floor: 0.01,
            steps: 1000,
        };
        assert!(schedule.lr_factor(0) < 0.03 && (schedule.lr_factor(49) - 1.0).abs() < 1e-9);
        assert!((schedule.lr_factor(525) - 0.505).abs() < 0.01 && schedule.lr_factor(999) < 0.011);
        assert_eq!(schedule.lr_factor(5000), 0.01);
    }
}
