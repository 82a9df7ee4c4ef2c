//! Learning rate schedules: linear warm-up, then half a cosine, steps or a constant.

/// Factors on the peak learning rates over the steps of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Fraction of all steps that the linear rise to the peak takes; at least one step.
    pub warm_up_fraction: f64,
    /// What follows.
    pub decay: Decay,
    /// Steps of the run.
    pub steps: u64,
}

/// The factor after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// Half a cosine, down to this factor.
    Cosine {
        /// Factor at the end.
        floor: f64,
    },
    /// It stays.
    Constant,
    /// Multiplied again and again.
    Step {
        /// Steps between two multiplications, counted from the start of the run.
        every: f64,
        /// Factor of each.
        factor: f64,
    },
}

impl Schedule {
    /// The factor at `step`, counted from 0.
    pub fn lr_factor(&self, step: u64) -> f64 {
        let (step, steps) = (step as f64, self.steps as f64);
        let warm = (self.warm_up_fraction * steps).max(1.0);
        if step < warm {
            return (step + 1.0) / warm;
        }
        match self.decay {
            Decay::Cosine { floor } => {
                let done = ((step - warm) / (steps - warm).max(1.0)).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Decay::Constant => 1.0,
            Decay::Step { every, factor } => factor.powf((step / every.max(1.0)).floor()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warm_up_fraction: f64, decay: Decay) -> Schedule {
        Schedule {
            warm_up_fraction,
            decay,
            steps: 1000,
        }
    }

    #[test]
    fn the_factor_rises_and_falls() {
        let schedule = schedule(0.05, Decay::Cosine { floor: 0.01 });
        assert!(schedule.lr_factor(0) < 0.03 && (schedule.lr_factor(49) - 1.0).abs() < 1e-9);
        assert!((schedule.lr_factor(525) - 0.505).abs() < 0.01 && schedule.lr_factor(999) < 0.011);
        assert_eq!(schedule.lr_factor(5000), 0.01);
    }

    #[test]
    fn a_constant_stays_and_steps_fall() {
        let constant = schedule(0.0, Decay::Constant);
        assert!(
            [0, 1, 500, 999]
                .iter()
                .all(|&s| constant.lr_factor(s) == 1.0)
        );
        let decay = Decay::Step {
            every: 250.0,
            factor: 0.1,
        };
        let falling = schedule(0.0, decay);
        for (step, expected) in [(0, 1.0), (249, 1.0), (250, 0.1), (500, 0.01), (999, 0.001)] {
            assert!((falling.lr_factor(step) - expected).abs() < 1e-12, "{step}");
        }
    }
}
