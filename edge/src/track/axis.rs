//! A Kalman filter over one value and its velocity.
//!
//! The four values of a box are independent, so that each needs a 2x2 covariance and no matrices.

/// Decay time of a velocity without measurements, in seconds: waves and a swaying camera turn round.
const VELOCITY_DECAY: f64 = 1.0;

/// The estimate of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) value: f64,
    /// Change of the value per second.
    velocity: f64,
    variance: f64,
    /// Covariance of value and velocity.
    covariance: f64,
    velocity_variance: f64,
}

impl Axis {
    /// A value measured with the standard deviation `error`; its velocity is 0 with the standard
    /// deviation `speed`.
    pub(super) fn new(value: f64, error: f64, speed: f64) -> Self {
        Self {
            value,
            velocity: 0.0,
            variance: error * error,
            covariance: 0.0,
            velocity_variance: speed * speed,
        }
    }

    /// Predicts the value after `seconds`; `noise` is the random change of velocity per square root of a
    /// second.
    pub(super) fn predict(&mut self, seconds: f64, noise: f64) {
        let kept = (-seconds / VELOCITY_DECAY).exp();
        let reach = VELOCITY_DECAY * (1.0 - kept);
        let process_variance = noise * noise;
        self.value += self.velocity * reach;
        self.velocity *= kept;
        self.variance += 2.0 * reach * self.covariance
            + reach * reach * self.velocity_variance
            + process_variance * seconds.powi(3) / 3.0;
        self.covariance = kept * (self.covariance + reach * self.velocity_variance)
            + process_variance * seconds * seconds / 2.0;
        self.velocity_variance = kept * kept * self.velocity_variance + process_variance * seconds;
    }

    /// The squared Mahalanobis distance of `measured` with the standard deviation `error`.
    pub(super) fn distance_squared(&self, measured: f64, error: f64) -> f64 {
        let residual = measured - self.value;
        residual * residual / (self.variance + error * error)
    }

    /// Updates the estimate with a measurement of the standard deviation `error`.
    pub(super) fn update(&mut self, measured: f64, error: f64) {
        let variance = self.variance + error * error;
        let (gain, velocity_gain) = (self.variance / variance, self.covariance / variance);
        let residual = measured - self.value;
        self.value += gain * residual;
        self.velocity += velocity_gain * residual;
        self.velocity_variance -= velocity_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.variance *= 1.0 - gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_velocity_is_estimated_at_any_intervals() {
        for steps in [[0.1, 0.1, 0.1], [0.03, 0.4, 0.07]] {
            let mut axis = Axis::new(0.0, 1.0, 50.0);
            let mut time = 0.0;
            for seconds in steps.into_iter().cycle().take(30) {
                time += seconds;
                axis.predict(seconds, 5.0);
                axis.update(20.0 * time, 1.0);
            }
            axis.predict(0.1, 5.0);
            let expected = 20.0 * (time + 0.1);
            assert!(
                (axis.value - expected).abs() < 2.5,
                "{} {expected}",
                axis.value
            );
        }
    }

    #[test]
    fn without_measurements_the_value_gets_uncertain_and_stops() {
        let mut axis = Axis::new(0.0, 1.0, 50.0);
        for i in 1..30 {
            axis.predict(0.1, 5.0);
            axis.update(f64::from(i) * 2.0, 1.0);
        }
        let before = axis;
        axis.predict(1.0, 5.0);
        assert!(
            axis.distance_squared(axis.value + 10.0, 1.0)
                < before.distance_squared(before.value + 10.0, 1.0) / 4.0
        );
        let after = axis.value;
        axis.predict(20.0, 5.0);
        assert!(
            axis.value - after < 20.0 * VELOCITY_DECAY,
            "the prediction must stay bounded"
        );
    }

    #[test]
    fn variances_stay_positive() {
        let mut axis = Axis::new(5.0, 1.0, 10.0);
        for i in 0..10_000 {
            axis.predict(f64::from(i % 7) * 0.05, 3.0);
            axis.update(5.0 + f64::from(i % 3), 1.0);
            assert!(axis.variance > 0.0 && axis.velocity_variance > 0.0);
            assert!(
                axis.covariance * axis.covariance
                    <= axis.variance * axis.velocity_variance * 1.000_001
            );
        }
    }
}
