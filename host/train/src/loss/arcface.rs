//! ArcFace (Deng, Guo, Xue and Zafeiriou, CVPR 2019), with sub-centres (Deng et al., *Sub-center
//! ArcFace*, ECCV 2020): softmax over the cosines to one centre per class, or to the nearest of a few,
//! with a margin on the angle to the own one.
//!
//! `L = -ln( e^{s cos(θ_y + m)} / (e^{s cos(θ_y + m)} + Σ_{j≠y} e^{s cos θ_j}) )`, averaged over the
//! batch, θ_j the angle to the nearest centre of class j. Where `θ_y + m` would exceed π, the cosine is
//! continued as `cos θ_y - m sin m`, as in the authors' code, so that it keeps falling. The parameter
//! `centres` is `[classes * sub_centres, D]`.
//!
//! The papers use s = 64, m = 0.5 for millions of faces, and 3 sub-centres for noisy labels. With a few
//! photos per whale s = 32, m = 0.3 learn faster; sub-centres help where labels are doubtful or a whale
//! has changed its looks, and split whales of two or three photos. The own logit is computed from the
//! cosine, not through the arc cosine, whose gradient is infinite where an embedding meets its centre.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::{
    centres::Centres,
    kind::{Classes, Loss},
};
use crate::about::{About, InvalidSetting, require, require_scale, settings};
use std::f64::consts::FRAC_PI_2;

settings! {
    /// Settings of ArcFace.
    ArcFaceSettings {
        scale: f64 = 32.0, "s";
        margin: f64 = 0.3, "m, in radians";
        sub_centres: usize = 1, "centres per class; 1 is plain ArcFace, 3 tolerates wrong labels and whales of several looks";
    }
}

const ABOUT: About = About {
    kind: "arcface",
    formula: "-ln( e^{s cos(t_y + m)} / (e^{s cos(t_y + m)} + sum_{j != y} e^{s cos t_j}) ), t_j the angle to the nearest centre of class j",
    source: "Deng et al., ArcFace, CVPR 2019; Sub-center ArcFace, ECCV 2020",
    settings: ArcFaceSettings::MEANINGS,
};

impl LossKind for ArcFaceSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require_scale("scale", self.scale)?;
        require(
            (0.0..=FRAC_PI_2).contains(&self.margin),
            "margin",
            "0 to 1.57 (radians, a quarter turn)",
            self.margin,
        )?;
        require(
            (1..=16).contains(&self.sub_centres),
            "sub_centres",
            "1 to 16",
            self.sub_centres as f64,
        )
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::ArcFace::new(
            self,
            Centres::new(classes, self.sub_centres),
        ))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::ArcFaceSettings;
    use crate::loss::centres::Centres;
    use crate::loss::kind::{Loss, LossParameter, zero};
    use rand_chacha::ChaCha8Rng;
    use tch::{Reduction, Tensor};

    pub(super) struct ArcFace {
        centres: Centres,
        scale: f64,
        margin: f64,
    }

    impl ArcFace {
        /// `centres` has `sub_centres` per class.
        pub(super) fn new(settings: &ArcFaceSettings, centres: Centres) -> Self {
            Self {
                centres,
                scale: settings.scale,
                margin: settings.margin,
            }
        }
    }

    impl Loss for ArcFace {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() == 0 {
                return zero(embeddings);
            }
            let cosines = self.centres.cosines(embeddings);
            let own_at = classes.unsqueeze(1);
            let own = cosines.gather(1, &own_at, false);
            let (sin_m, cos_m) = self.margin.sin_cos();
            // The square root has no finite gradient at 0, where an embedding meets its centre.
            let sine = (own.square().neg() + 1.0).clamp_min(1e-7).sqrt();
            let turned = &own * cos_m - sine * sin_m;
            let continued = &own - self.margin * sin_m;
            let with_margin = turned.where_self(&own.gt(-cos_m), &continued);
            let logits = cosines.scatter(1, &own_at, &with_margin) * self.scale;
            logits.cross_entropy_loss(classes, None::<&Tensor>, Reduction::Mean, -100, 0.0)
        }

        fn parameters(&self) -> Vec<LossParameter> {
            vec![self.centres.parameter()]
        }

        fn init_centres(&mut self, means: &Tensor) {
            self.centres.init_centres(means);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{
            check_gradient, check_parameters, circle, rng, scattered,
        };

        fn with_centres(centres: &[f32], dimension: i64, scale: f64, margin: f64) -> ArcFace {
            with_sub_centres(centres, dimension, 1, scale, margin)
        }

        fn with_sub_centres(
            centres: &[f32],
            dimension: i64,
            sub_centres: usize,
            scale: f64,
            margin: f64,
        ) -> ArcFace {
            let settings = ArcFaceSettings {
                scale,
                margin,
                sub_centres,
            };
            let centres = Centres::given(centres, dimension, sub_centres as i64);
            ArcFace::new(&settings, centres)
        }

        #[test]
        fn a_number_worked_by_hand() {
            // One embedding at 60° from its own centre and 30° from the other: cos(60° + m), s = 2, m = 30°.
            let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 2.0, 30f64.to_radians());
            let got = loss
                .loss(&circle(&[60.0]), &Tensor::from_slice(&[0i64]), &mut rng())
                .double_value(&[]);
            // cos 90° = 0 against cos 30° = √3/2: ln(1 + e^{2 · √3/2}).
            let expected = (1.0 + 3f64.sqrt().exp()).ln();
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn the_nearest_sub_centre_counts_by_hand() {
            // Class 0 at 0° and 30°, class 1 at 180° and 90°; a photo of class 0 at 60°, m = 30°, s = 2: 30° from its nearest centre, so
            // cos(30° + 30°) = 1/2, and 30° from the nearest of the other, √3/2: ln(1 + e^{2 (0.866 - 0.5)}).
            let (sin, cos) = 30f32.to_radians().sin_cos();
            let centres = [1.0, 0.0, cos, sin, -1.0, 0.0, 0.0, 1.0];
            let loss = with_sub_centres(&centres, 2, 2, 2.0, 30f64.to_radians());
            let got = loss
                .loss(&circle(&[60.0]), &Tensor::from_slice(&[0i64]), &mut rng())
                .double_value(&[]);
            let expected = (1.0 + (3f64.sqrt() - 1.0).exp()).ln();
            assert!((got - expected).abs() < 1e-5, "{got} {expected}");
        }

        #[test]
        fn past_a_half_turn_the_cosine_keeps_falling() {
            let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 4.0, 0.5);
            let at = |degrees: f64| {
                let e = circle(&[degrees]);
                loss.loss(&e, &Tensor::from_slice(&[0i64]), &mut rng())
                    .double_value(&[])
            };
            assert!(at(-179.0) > at(-170.0) && at(-170.0) > at(-155.0));
        }

        #[test]
        fn the_gradient_matches_differences_also_of_the_centres() {
            let centres = [0.9, 0.1, -0.3, 0.2, 0.8, 0.5, -0.4, 0.3, 0.7];
            let loss = with_centres(&centres, 3, 8.0, 0.3);
            let e = Tensor::from_slice(&[0.2f32, 0.5, -0.4, 0.7, -0.1, 0.6]).reshape([2, 3]);
            let classes = Tensor::from_slice(&[0i64, 2]);
            check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
            check_parameters(&loss, &e, &classes);
        }

        #[test]
        fn the_gradient_matches_differences_with_sub_centres() {
            let centres: Vec<f32> = Vec::try_from(scattered(6, 3, 9).flatten(0, 1)).unwrap();
            let loss = with_sub_centres(&centres, 3, 2, 8.0, 0.3);
            let e = scattered(4, 3, 5);
            let classes = Tensor::from_slice(&[0i64, 2, 1, 2]);
            check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
            check_parameters(&loss, &e, &classes);
        }

        #[test]
        fn an_embedding_at_its_centre_has_a_finite_gradient() {
            let loss = with_centres(&[1.0, 0.0, 0.0, 1.0], 2, 32.0, 0.3);
            let e = Tensor::from_slice(&[1.0f32, 0.0])
                .reshape([1, 2])
                .set_requires_grad(true);
            loss.loss(&e, &Tensor::from_slice(&[0i64]), &mut rng())
                .backward();
            assert!(e.grad().isfinite().all().int64_value(&[]) == 1);
        }
    }
}
