//! Points on the sphere that represent classes: centres, proxies, or the rows of a classifier.

use super::kind::{Classes, LossParameter};
use crate::torch::tensors::{normalise, tensor};
use flukewatch_network::Role;
use flukewatch_network::weights::Values;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

/// Initial distance of a class's further centres from its mean, before normalisation: 0.5 is about
/// 27°. At the mean itself they would tie, and all but one would never be updated.
const APART: f32 = 0.5;

/// `[classes * per_class, D] f32`: the centres of class `c` are the rows from `c * per_class`. With
/// [`Centres::cosines`] only their directions matter.
pub(super) struct Centres {
    name: String,
    rows: Tensor,
    per_class: i64,
}

impl Centres {
    /// Random directions drawn from `seed`.
    pub(super) fn new(classes: &Classes<'_>, per_class: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(classes.seed ^ 0xA2C_FACE);
        let shape = vec![classes.count * per_class, classes.dimension];
        let data = (0..shape[0] * shape[1])
            .map(|_| rng.random_range(-0.1..0.1f32))
            .collect();
        let rows = tensor(&Values { shape, data }, classes.device).set_requires_grad(true);
        Self {
            name: format!("{}.centres", classes.name),
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

    /// Number of classes.
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

    /// For the optimiser.
    pub(super) fn parameter(&self) -> LossParameter {
        LossParameter {
            name: self.name.clone(),
            tensor: self.rows.shallow_clone(),
            role: Role::Weight,
        }
    }

    /// See [`super::Loss::init_centres`]. Rows keep their length, so that an optimiser step turns them by
    /// as much as before.
    pub(super) fn init_centres(&mut self, means: &Tensor) {
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
    use tch::Device;

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
    fn sub_centres_start_near_the_mean_but_apart() {
        let classes = Classes {
            count: 2,
            dimension: 64,
            name: "c",
            device: Device::Cpu,
            seed: 5,
        };
        let mut centres = Centres::new(&classes, 3);
        let mean = Tensor::ones([2, 64], (Kind::Float, Device::Cpu));
        centres.init_centres(&mean);
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
