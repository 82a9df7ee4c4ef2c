//! Training of a classifier: one layer on features that do not change, with the softmax loss.
//!
//! With cosines (Wang et al., NormFace, ACM MM 2017) a class is a direction, which suits whales with few
//! photos: its initial value is the mean of its photos (imprinting, Qi et al., CVPR 2018), and no class
//! wins by a longer vector. The linear form is plain softmax regression with a bias.

use crate::cpu::depthwise::SavedActivations;
use crate::loss::softmax::SoftmaxSettings;
use crate::loss::{Classes, Loss, LossSettings};
use crate::torch::tensors::{normalise, tensor};
use crate::trainer::optimiser::{
    Optimiser, ParameterGroup, StepScope, UpdateScope, weight_decay_of,
};
use crate::trainer::schedule::{Decay, Schedule};
use flukewatch_network::weights::{Values, Weights};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

/// How a classifier is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifierSettings {
    /// Largest number of passes over the examples.
    pub epochs: usize,
    /// Examples per step.
    pub batch_size: usize,
    /// Initial learning rate; it falls to 0 along half a cosine.
    pub lr: f64,
    /// Decoupled weight decay, not of the bias.
    pub weight_decay: f64,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Seed of the order of the examples.
    pub seed: u64,
}

/// Features and the class of each.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// Features of the examples, `[N, K]`.
    pub features: ArrayView2<'a, f32>,
    /// `[N]`, below the number of classes.
    pub classes: &'a [usize],
}

/// The weights of a trained layer.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedClassifier {
    /// Weights `[C, K]`, one row per class.
    pub weight: Array2<f32>,
    /// `[C]`; zeros with cosines.
    pub bias: Array1<f32>,
    /// Epochs up to the best one.
    pub epochs: usize,
    /// Mean validation loss of that epoch, or the mean training loss without validation.
    pub loss: f64,
}

/// Name of the layer's parameters.
const NAME: &str = "classifier";

/// Trains a layer for `classes` classes: linear, or of cosines times `cosine_scale`. With `validation`
/// examples it stops early and returns the best layer, else the last. `on_epoch` receives each epoch, counted from 1, and its loss.
pub fn train(
    classes: usize,
    cosine_scale: Option<f64>,
    examples: &Examples<'_>,
    validation: Option<&Examples<'_>>,
    settings: &ClassifierSettings,
    mut on_epoch: impl FnMut(usize, f64),
) -> TrainedClassifier {
    let cosine = cosine_scale.is_some();
    let loss = LossSettings::Softmax(SoftmaxSettings {
        scale: cosine_scale.unwrap_or(1.0),
        cosine,
    });
    let layer = Layer::new(&loss, classes, examples, cosine);
    let mut optimiser = Optimiser::default();
    for parameter in layer.loss.parameters() {
        let group = ParameterGroup {
            lr: settings.lr,
            weight_decay: weight_decay_of(parameter.role, settings.weight_decay),
            scope: UpdateScope::Shared,
        };
        optimiser.add(parameter.name, parameter.tensor, group);
    }
    let inputs = layer.inputs(examples);
    let validation = validation.map(|v| layer.inputs(v));
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut order: Vec<i64> = (0..examples.classes.len() as i64).collect();
    let schedule = Schedule {
        warm_up_fraction: 0.0,
        decay: Decay::Cosine { floor: 0.0 },
        steps: (order.len().div_ceil(settings.batch_size) * settings.epochs) as u64,
    };
    let mut best = layer.trained(0, f64::INFINITY);
    for epoch in 1..=settings.epochs {
        for last in (1..order.len()).rev() {
            order.swap(last, random.random_range(0..=last));
        }
        let mut sum = 0.0;
        for batch in order.chunks(settings.batch_size) {
            let rows = Tensor::from_slice(batch);
            let (features, classes) = &inputs;
            let (features, classes) = (
                features.index_select(0, &rows),
                classes.index_select(0, &rows),
            );
            let loss = layer.loss.loss(&features, &classes, &mut random);
            let lr_factor = schedule.lr_factor(optimiser.steps());
            optimiser.step(
                &loss,
                SavedActivations::default(),
                lr_factor,
                StepScope::Whole,
            );
            sum += loss.double_value(&[]) * batch.len() as f64;
        }
        let loss = match &validation {
            Some((features, classes)) => {
                let loss = tch::no_grad(|| layer.loss.loss(features, classes, &mut random));
                loss.double_value(&[])
            }
            None => sum / order.len().max(1) as f64,
        };
        on_epoch(epoch, loss);
        if validation.is_none() || loss < best.loss {
            best = layer.trained(epoch, loss);
        } else if epoch - best.epochs >= settings.patience {
            break;
        }
    }
    best
}

struct Layer {
    loss: Box<dyn Loss>,
    cosine: bool,
    shape: (usize, usize),
}

impl Layer {
    /// The initial layer: class means with cosines (the mean of all for a class without examples),
    /// zeros in the linear form.
    fn new(loss: &LossSettings, classes: usize, examples: &Examples<'_>, cosine: bool) -> Self {
        let dimension = examples.features.ncols();
        let mut loss = loss.build(&Classes {
            count: classes,
            dimension,
            name: NAME,
            device: Device::Cpu,
            seed: 0,
        });
        let mut weight = Array2::<f32>::zeros((classes, dimension));
        if cosine {
            for (row, &class) in examples.features.outer_iter().zip(examples.classes) {
                let length = row.dot(&row).sqrt().max(1e-12);
                weight.row_mut(class).scaled_add(1.0 / length, &row);
            }
            let all = weight.sum_axis(Axis(0));
            for mut row in weight.outer_iter_mut() {
                if row.iter().all(|&w| w == 0.0) {
                    row.assign(&all);
                }
                let length = row.dot(&row).sqrt().max(1e-12);
                row /= length;
            }
        }
        let initial = Values {
            shape: vec![classes, dimension],
            data: weight.iter().copied().collect(),
        };
        loss.restore(&Weights::from([(format!("{NAME}.centres"), initial)]));
        Self {
            loss,
            cosine,
            shape: (classes, dimension),
        }
    }

    /// Features `[N, K]`, L2-normalised with cosines, and classes `[N]`.
    fn inputs(&self, examples: &Examples<'_>) -> (Tensor, Tensor) {
        let features = Values {
            shape: examples.features.shape().to_vec(),
            data: examples.features.iter().copied().collect(),
        };
        let features = tensor(&features, Device::Cpu);
        let classes: Vec<i64> = examples.classes.iter().map(|&c| c as i64).collect();
        let features = if self.cosine {
            normalise(&features)
        } else {
            features
        };
        (features, Tensor::from_slice(&classes))
    }

    fn trained(&self, epochs: usize, loss: f64) -> TrainedClassifier {
        let mut weights = self.loss.weights();
        let mut take = |part: &str| weights.remove(&format!("{NAME}.{part}")).map(|v| v.data);
        let weight = take("centres").expect("the softmax loss has a row for each class");
        let bias = take("bias").unwrap_or_else(|| vec![0.0; self.shape.0]);
        TrainedClassifier {
            weight: Array2::from_shape_vec(self.shape, weight)
                .expect("the softmax loss has a row for each class"),
            bias: Array1::from(bias),
            epochs,
            loss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: ClassifierSettings = ClassifierSettings {
        epochs: 60,
        batch_size: 16,
        lr: 0.05,
        weight_decay: 0.0,
        patience: 60,
        seed: 7,
    };

    /// Three classes around three directions.
    fn separable(per_class: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let classes: Vec<usize> = (0..3 * per_class).map(|i| i % 3).collect();
        let features = Array2::from_shape_fn((3 * per_class, 4), |(i, d)| {
            let noise = rng.random_range(-1.0..1.0f32);
            f32::from(u8::from(classes[i] == d)) + 0.3 * noise
        });
        (features, classes)
    }

    fn trained(
        cosine_scale: Option<f64>,
        settings: &ClassifierSettings,
        classes: usize,
    ) -> TrainedClassifier {
        let (features, labels) = separable(20, 1);
        let examples = Examples {
            features: features.view(),
            classes: &labels,
        };
        train(classes, cosine_scale, &examples, None, settings, |_, _| {})
    }

    #[test]
    fn separable_classes_are_learned_in_both_forms() {
        let (others, truth) = separable(20, 2);
        for cosine_scale in [None, Some(6.0)] {
            let layer = trained(cosine_scale, &SETTINGS, 3);
            let lengths = layer.weight.map_axis(Axis(1), |row| row.dot(&row).sqrt());
            let right = truth.iter().enumerate().filter(|&(i, &class)| {
                let logit = |c: usize| {
                    let product = others.row(i).dot(&layer.weight.row(c));
                    match cosine_scale {
                        Some(_) => product / lengths[c],
                        None => product + layer.bias[c],
                    }
                };
                (0..3).all(|c| c == class || logit(c) < logit(class))
            });
            assert!(right.count() >= 58, "{cosine_scale:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_layer() {
        let with = |seed| {
            let settings = ClassifierSettings {
                seed,
                epochs: 3,
                ..SETTINGS
            };
            trained(Some(6.0), &settings, 200)
        };
        assert_eq!(with(5), with(5));
        assert_ne!(with(5), with(6));
    }

    #[test]
    fn it_stops_when_validation_does_not_improve() {
        // Validation examples with wrong classes: the first epoch is the best.
        let (features, classes) = separable(20, 1);
        let wrong: Vec<usize> = classes.iter().map(|c| (c + 1) % 3).collect();
        let examples = Examples {
            features: features.view(),
            classes: &classes,
        };
        let validation = Examples {
            features: features.view(),
            classes: &wrong,
        };
        let settings = ClassifierSettings {
            patience: 4,
            ..SETTINGS
        };
        let mut epochs = 0;
        let count = |_, _| epochs += 1;
        let trained = train(3, None, &examples, Some(&validation), &settings, count);
        assert_eq!((trained.epochs, epochs), (1, 5));
    }
}
