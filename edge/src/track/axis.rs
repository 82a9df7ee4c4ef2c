//! A Kalman filter over one number and its velocity.
//!
//! The four numbers of a box move apart from each other, so that each needs two by two variances and no matrices.

/// How long a velocity is believed in once nothing is seen, in seconds: waves and a camera that sways turn round.
const MEMORY: f64 = 1.0;

/// A number that moves, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The number.
    pub(super) value: f64,
    /// Its change in a second.
    velocity: f64,
    /// Variance of the number.
    spread: f64,
    /// Covariance of number and velocity.
    together: f64,
    /// Variance of the velocity.
    velocity_spread: f64,
}

impl Axis {
    /// A number measured once with the standard deviation `error`; its velocity is 0, give or take `speed`.
    pub(super) fn new(value: f64, error: f64, speed: f64) -> Self {
        Self {
            value,
            velocity: 0.0,
            spread: error * error,
            together: 0.0,
            velocity_spread: speed * speed,
        }
    }

    /// Moves on by `seconds`, while accelerations change the velocity at random by `jolt` in the square root of a second.
    pub(super) fn predict(&mut self, seconds: f64, jolt: f64) {
        let kept = (-seconds / MEMORY).exp();
        let reach = MEMORY * (1.0 - kept);
        let noise = jolt * jolt;
        self.value += self.velocity * reach;
        self.velocity *= kept;
        self.spread += 2.0 * reach * self.together
            + reach * reach * self.velocity_spread
            + noise * seconds.powi(3) / 3.0;
        self.together =
            kept * (self.together + reach * self.velocity_spread) + noise * seconds * seconds / 2.0;
        self.velocity_spread = kept * kept * self.velocity_spread + noise * seconds;
    }

    /// How far `measured`, with the standard deviation `error`, lies from what is expected: squared, in variances of the difference.
    pub(super) fn surprise(&self, measured: f64, error: f64) -> f64 {
        let off = measured - self.value;
        off * off / (self.spread + error * error)
    }

    /// Takes a measurement with the standard deviation `error` into account.
    pub(super) fn update(&mut self, measured: f64, error: f64) {
        let variance = self.spread + error * error;
        let (gain, velocity_gain) = (self.spread / variance, self.together / variance);
        let off = measured - self.value;
        self.value += gain * off;
        self.velocity += velocity_gain * off;
        self.velocity_spread -= velocity_gain * self.together;
        self.together *= 1.0 - gain;
        self.spread *= 1.0 - gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_velocity_is_learned_whatever_the_intervals() {
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
    fn what_is_not_seen_gets_uncertain_and_stops() {
        let mut axis = Axis::new(0.0, 1.0, 50.0);
        for i in 1..30 {
            axis.predict(0.1, 5.0);
            axis.update(f64::from(i) * 2.0, 1.0);
        }
        let before = axis;
        axis.predict(1.0, 5.0);
        assert!(
            axis.surprise(axis.value + 10.0, 1.0) < before.surprise(before.value + 10.0, 1.0) / 4.0
        );
        let after = axis.value;
        axis.predict(20.0, 5.0);
        assert!(axis.value - after < 20.0 * MEMORY, "it does not run away");
    }

    #[test]
    fn variances_stay_variances() {
        let mut axis = Axis::new(5.0, 1.0, 10.0);
        for i in 0..10_000 {
            axis.predict(f64::from(i % 7) * 0.05, 3.0);
            axis.update(5.0 + f64::from(i % 3), 1.0);
            assert!(axis.spread > 0.0 && axis.velocity_spread > 0.0);
            assert!(
                axis.together * axis.together <= axis.spread * axis.velocity_spread * 1.000_001
            );
        }
    }
}
