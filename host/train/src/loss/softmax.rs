//! Softmax: each class is a row of a classifier on top of the embedding (with cosines: Zhai and Wu,
//! *Classification is a Strong Baseline for Deep Metric Learning*, BMVC 2019).
//!
//! `-ln( e^{z_y} / Σ_j e^{z_j} )`, averaged over the batch; with cosines `z_j = s cos(x, w_j)`, else
//! `z_j = s w_j·x + b_j`, a plain linear classifier. The parameters are `centres` `[classes, D]` and,
//! without cosines, `bias` `[classes]`.
//!
//! With cosines s = 20 (the paper's temperature 0.05): with s = 1 the best probability that a photo can
//! reach among 1,000 classes is 0.007, and the loss hardly falls. The plain classifier uses s = 1; its
//! rows grow by themselves.

use super::kind::LossKind;
#[cfg(feature = "libtorch")]
use super::{
    centres::Centres,
    kind::{Classes, Loss},
};
use crate::about::{About, InvalidSetting, require_scale, settings};

settings! {
    /// Settings of the softmax classifier.
    SoftmaxSettings {
        scale: f64 = 20.0, "s; 20 with cosine, 1 for a plain linear classifier";
        cosine: bool = true, "rows of unit length and no bias; false is a linear classifier";
    }
}

const ABOUT: About = About {
    kind: "softmax",
    formula: "-ln( e^{z_y} / sum_j e^{z_j} ), z_j = s cos t_j (cosine) or s w_j.x + b_j (linear)",
    source: "Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, BMVC 2019 (cosine)",
    settings: SoftmaxSettings::MEANINGS,
};

impl LossKind for SoftmaxSettings {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn needs_pairs(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        require_scale("scale", self.scale)
    }

    #[cfg(feature = "libtorch")]
    fn build(&self, classes: &Classes<'_>) -> Box<dyn Loss> {
        Box::new(forward::Softmax::new(
            self,
            Centres::new(classes, 1),
            classes.name,
        ))
    }
}

#[cfg(feature = "libtorch")]
mod forward {
    use super::SoftmaxSettings;
    use crate::loss::centres::Centres;
    use crate::loss::kind::{Loss, LossParameter, zero};
    use flukewatch_network::Role;
    use rand_chacha::ChaCha8Rng;
    use tch::{Kind, Reduction, Tensor};

    pub(super) struct Softmax {
        rows: Centres,
        bias: Option<(String, Tensor)>,
        scale: f64,
    }

    impl Softmax {
        /// The bias starts at zero.
        pub(super) fn new(settings: &SoftmaxSettings, rows: Centres, name: &str) -> Self {
            let bias = (!settings.cosine).then(|| {
                let options = (Kind::Float, rows.rows().device());
                let zeros = Tensor::zeros([rows.classes()], options);
                (format!("{name}.bias"), zeros.set_requires_grad(true))
            });
            Self {
                rows,
                bias,
                scale: settings.scale,
            }
        }
    }

    impl Loss for Softmax {
        fn loss(&self, embeddings: &Tensor, classes: &Tensor, _: &mut ChaCha8Rng) -> Tensor {
            if classes.numel() == 0 {
                return zero(embeddings);
            }
            let logits = match &self.bias {
                None => self.rows.cosines(embeddings) * self.scale,
                Some((_, bias)) => embeddings.matmul(&self.rows.rows().tr()) * self.scale + bias,
            };
            logits.cross_entropy_loss(classes, None::<&Tensor>, Reduction::Mean, -100, 0.0)
        }

        fn parameters(&self) -> Vec<LossParameter> {
            let bias = self.bias.iter().map(|(name, tensor)| LossParameter {
                name: name.clone(),
                tensor: tensor.shallow_clone(),
                role: Role::Scale,
            });
            std::iter::once(self.rows.parameter()).chain(bias).collect()
        }

        fn init_centres(&mut self, means: &Tensor) {
            self.rows.init_centres(means);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::loss::tests_support::{
            check_gradient, check_parameters, circle, rng, scattered,
        };

        fn softmax(cosine: bool, scale: f64) -> Softmax {
            // Rows at 0° of length 2 and at 90° of length 0.5.
            let rows = Centres::given(&[2.0, 0.0, 0.0, 0.5], 2, 1);
            Softmax::new(&SoftmaxSettings { scale, cosine }, rows, "loss")
        }

        #[test]
        fn numbers_worked_by_hand() {
            // A photo of class 0 at 60°. Cosines 1/2 and √3/2, s = 4: ln(1 + e^{4 (0.866 - 0.5)}).
            let (e, classes) = (circle(&[60.0]), Tensor::from_slice(&[0i64]));
            let value = |loss: &Softmax| loss.loss(&e, &classes, &mut rng()).double_value(&[]);
            let root = 3f64.sqrt();
            let expected = (1.0 + (4.0 * (root / 2.0 - 0.5)).exp()).ln();
            assert!((value(&softmax(true, 4.0)) - expected).abs() < 1e-5);
            // Linear, s = 1, bias 0 and 0.3: logits 2 · 1/2 = 1 and 0.5 · √3/2 + 0.3.
            let linear = softmax(false, 1.0);
            tch::no_grad(|| {
                if let Some((_, bias)) = &linear.bias {
                    let _ = bias.get(1).fill_(0.3);
                }
            });
            let expected = (1.0 + (0.5 * root / 2.0 + 0.3 - 1.0).exp()).ln();
            assert!((value(&linear) - expected).abs() < 1e-5);
        }

        #[test]
        fn the_gradient_matches_differences_also_of_rows_and_bias() {
            let e = scattered(4, 2, 3);
            let classes = Tensor::from_slice(&[0i64, 1, 1, 0]);
            for cosine in [true, false] {
                let loss = softmax(cosine, 3.0);
                assert_eq!(loss.parameters().len(), if cosine { 1 } else { 2 });
                check_gradient(&e, |e| loss.loss(e, &classes, &mut rng()));
                check_parameters(&loss, &e, &classes);
            }
        }
    }
}
