//! Points on the sphere that stand for the classes: centres, proxies, or the rows of a classifier.

use crate::network::weights::Values;
use crate::train::forward::normalise;
use crate::train::forward::tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

/// How far apart the further centres of a class start from its mean, before they are normalised: 0.5 is about 27°. At the mean
/// itself they would all be the nearest at once, and all but one would never move.
const APART: f32 = 0.5;

/// `[classes * per_class, D] f32`: the centres of class `c` are the rows from `c * per_class`. Only their directions count where
/// [`Centres::cosines`] is used.
pub struct Centres {
    name: String,
    rows: Tensor,
    per_class: i64,
}

impl Centres {
    /// Random directions drawn from `seed`.
    pub(super) fn new(
        name: String,
        classes: usize,
        per_class: usize,
        dimension: usize,
        device: Device,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xA2C_FACE);
        let shape = vec![classes * per_class, dimension];
        let data = (0..shape[0] * shape[1])
            .map(|_| rng.random_range(-0.1..0.1f32))
            .collect();
        let rows = tensor(&Values { shape, data }, device).set_requires_grad(true);
        Self {
            name,
            rows,
            per_class: per_class as i64,
        }
    }

    /// `[classes, D]` as given, one a class.
    #[cfg(test)]
    pub(super) fn given(rows: &[f32], dimension: i64, per_class: i64) -> Self {
        Self {
            name: "loss.centres".into(),
            rows: Tensor::from_slice(rows)
                .reshape([-1, dimension])
                .set_requires_grad(true),
            per_class,
        }
    }

    /// How many classes.
    pub(super) fn classes(&self) -> i64 {
        self.rows.size()[0] / self.per_class
    }

    /// The rows as they are, of any length.
    pub(super) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The cosine to the nearest centre of each class: `[N, D]` L2-normalised to `[N, classes]`.
    pub(super) fn cosines(&self, embeddings: &Tensor) -> Tensor {
        let cosines = embeddings
            .matmul(&normalise(&self.rows).tr())
            .clamp(-1.0, 1.0);
        if self.per_class == 1 {
            return cosines;
        }
        let of_each = cosines.view([-1, self.classes(), self.per_class]);
        of_each.max_dim(2, false).0
    }

    /// Name and tensor, for the optimiser.
    pub(super) fn parameter(&self) -> (String, Tensor) {
        (self.name.clone(), self.rows.shallow_clone())
    }

    /// See [`super::Loss::start_at`]. Rows keep their length, so that a step of the optimiser turns them as far as before.
    pub(super) fn start_at(&mut self, means: &Tensor) {
        let (classes, per_class) = (self.classes(), self.per_class);
        tch::no_grad(|| {
            let length = |t: &Tensor| t.norm_scalaropt_dim(2.0, [-1i64], true);
            let rows = self.rows.view([classes, per_class, -1]);
            let means = means.to_device(rows.device()).to_kind(Kind::Float);
            let known = length(&means).gt(0.0).unsqueeze(1);
            let mut apart = vec![APART; per_class as usize];
            apart[0] = 0.0;
            let apart = Tensor::from_slice(&apart)
                .to_device(rows.device())
                .view([1, per_class, 1]);
            let old_length = length(&rows).clamp_min(1e-12);
            let turned = normalise(&means).unsqueeze(1) + (&rows / &old_length) * apart;
            let started = &turned / length(&turned).clamp_min(1e-12) * old_length;
            let started = started.where_self(&known, &rows);
            self.rows.copy_(&started.view(self.rows.size().as_slice()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_centre_of_a_class_counts() {
        // Class 0 at 0° and 90°, class 1 at 180° and 270°; a photo at 90°: cos 0° = 1 to class 0, cos 90° = 0 to class 1.
        let centres = Centres::given(&[2.0, 0.0, 0.0, 0.5, -1.0, 0.0, 0.0, -3.0], 2, 2);
        let cosines = centres.cosines(&Tensor::from_slice(&[0.0f32, 1.0]).view([1, 2]));
        assert_eq!(cosines.size(), [1, 2]);
        assert!((cosines.double_value(&[0, 0]) - 1.0).abs() < 1e-6);
        assert!(cosines.double_value(&[0, 1]).abs() < 1e-6);
    }

    #[test]
    fn sub_centres_start_around_the_mean_but_apart() {
        let mut centres = Centres::new("c".into(), 2, 3, 64, Device::Cpu, 5);
        let mean = Tensor::ones([2, 64], (Kind::Float, Device::Cpu));
        centres.start_at(&mean);
        let unit = normalise(centres.rows());
        let to_mean = unit.matmul(&normalise(&mean).tr());
        let between = unit.matmul(&unit.tr());
        for row in 0..6 {
            let cosine = to_mean.double_value(&[row, 0]);
            if row % 3 == 0 {
                assert!((cosine - 1.0).abs() < 1e-5, "{cosine}");
            } else {
                assert!((0.7..0.99).contains(&cosine), "{cosine}");
            }
        }
        assert!(between.double_value(&[1, 2]) < 0.95);
        assert!(centres.rows().requires_grad());
    }
}
