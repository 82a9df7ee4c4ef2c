//! A softmax over the known whales, on features that stay as they are: one layer, trained by Adam.
//!
//! In the cosine form (Wang et al., NormFace, ACM MM 2017) a class is a direction and a logit the scaled cosine to it, which suits
//! whales with few photos: a class starts as the mean of its photos (imprinting, Qi et al., CVPR 2018) and no class wins by a
//! longer vector. The linear form is plain softmax regression with a bias.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// What a logit is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// `x · w + b`.
    Linear,
    /// `scale · cos(x, w)`.
    Cosine {
        /// What the cosine is multiplied with.
        scale: f32,
    },
}

/// How it is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Passes over the photos at most.
    pub epochs: usize,
    /// Photos a step.
    pub batch: usize,
    /// The step size at the start; it falls to 0 along a half cosine.
    pub rate: f32,
    /// Weight decay, decoupled (Loshchilov and Hutter, ICLR 2019).
    pub decay: f32,
    /// Passes without a better loss on the watched photos after which it ends.
    pub patience: usize,
    /// Of the order of the photos.
    pub seed: u64,
}

/// Classes whose logits are worked out together, on one core.
const CLASSES_A_CORE: usize = 128;

/// The layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// `[C, K]`.
    pub weight: Array2<f32>,
    /// `[C]`; all zero in the cosine form.
    pub bias: Array1<f32>,
    /// What a logit is.
    pub form: Form,
}

/// Features and the class of each.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// `[N, K]`.
    pub features: ArrayView2<'a, f32>,
    /// `[N]`, below the number of classes.
    pub classes: &'a [usize],
}

/// What training gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The layer after its best pass.
    pub layer: Softmax,
    /// Passes up to the best one.
    pub epochs: usize,
    /// The mean loss on the watched photos after that pass, or on the training photos where none are watched.
    pub loss: f32,
}

impl Softmax {
    /// Where training starts: class means in the cosine form (a class without photos gets the mean of all), zeros in the linear
    /// one.
    pub fn start(form: Form, classes: usize, examples: &Examples) -> Self {
        let wide = examples.features.ncols();
        let mut weight = Array2::zeros((classes, wide));
        if matches!(form, Form::Cosine { .. }) {
            for (row, &class) in examples.features.outer_iter().zip(examples.classes) {
                weight.row_mut(class).scaled_add(1.0 / length(row), &row);
            }
            let all = weight.sum_axis(Axis(0));
            for mut row in weight.outer_iter_mut() {
                if row.iter().all(|&w| w == 0.0) {
                    row.assign(&all);
                }
                let by = length(row.view());
                row /= by;
            }
        }
        Self {
            weight,
            bias: Array1::zeros(classes),
            form,
        }
    }

    /// Trains from the start. With `watch`, ends when the loss there has not fallen for a while, and gives the best layer seen.
    pub fn train(
        form: Form,
        classes: usize,
        examples: &Examples,
        watch: Option<&Examples>,
        training: &Training,
        mut heard: impl FnMut(usize, f32),
    ) -> Trained {
        let mut layer = Self::start(form, classes, examples);
        let mut adam = Adam::new(layer.weight.dim());
        let mut rng = ChaCha8Rng::seed_from_u64(training.seed);
        let mut order: Vec<usize> = (0..examples.classes.len()).collect();
        let steps = order.len().div_ceil(training.batch) * training.epochs;
        let mut best: Option<Trained> = None;
        let mut step = 0;
        for epoch in 1..=training.epochs {
            for last in (1..order.len()).rev() {
                order.swap(last, rng.random_range(0..=last));
            }
            let mut sum = 0.0;
            for batch in order.chunks(training.batch) {
                let features = examples.features.select(Axis(0), batch);
                let chosen: Vec<usize> = batch.iter().map(|&i| examples.classes[i]).collect();
                let gradient = layer.gradient(&Examples {
                    features: features.view(),
                    classes: &chosen,
                });
                sum += gradient.loss * batch.len() as f32;
                let share = step as f32 / steps as f32;
                let rate = training.rate * 0.5 * (1.0 + (std::f32::consts::PI * share).cos());
                adam.step(&mut layer, &gradient, rate, training.decay);
                step += 1;
            }
            let loss = match watch {
                Some(watch) => layer.loss(watch),
                None => sum / order.len().max(1) as f32,
            };
            heard(epoch, loss);
            if watch.is_none() || best.as_ref().is_none_or(|b| loss < b.loss) {
                best = Some(Trained {
                    layer: layer.clone(),
                    epochs: epoch,
                    loss,
                });
            } else if best
                .as_ref()
                .is_some_and(|b| epoch - b.epochs >= training.patience)
            {
                break;
            }
        }
        best.unwrap_or(Trained {
            layer,
            epochs: 0,
            loss: f32::INFINITY,
        })
    }

    /// The logits of `features` `[N, K]`, as `[C, N]`.
    pub fn logits(&self, features: ArrayView2<f32>) -> Array2<f32> {
        let (inputs, weight, scale) = self.as_used(features);
        let mut logits = Array2::zeros((weight.nrows(), inputs.nrows()));
        on_all_cores(&mut logits, |from, mut rows| {
            let part = weight.slice(ndarray::s![from..from + rows.nrows(), ..]);
            general_mat_mul(scale, &part, &inputs.t(), 0.0, &mut rows);
            for (mut row, &bias) in rows.outer_iter_mut().zip(self.bias.iter().skip(from)) {
                row += bias;
            }
        });
        logits
    }

    /// The mean cross entropy, `-log softmax(logits)[own class]`.
    pub fn loss(&self, examples: &Examples) -> f32 {
        let mut logits = self.logits(examples.features);
        mean_loss(&mut logits, examples.classes)
    }

    /// The mean cross entropy and its slopes.
    fn gradient(&self, examples: &Examples) -> Gradient {
        let (inputs, used, scale) = self.as_used(examples.features);
        let mut errors = self.logits(examples.features);
        let loss = mean_loss(&mut errors, examples.classes);
        for (i, &class) in examples.classes.iter().enumerate() {
            errors[(class, i)] -= 1.0;
        }
        let mut weight = Array2::zeros(self.weight.dim());
        let share = 1.0 / examples.classes.len().max(1) as f32;
        on_all_cores(&mut weight, |from, mut rows| {
            let part = errors.slice(ndarray::s![from..from + rows.nrows(), ..]);
            general_mat_mul(scale * share, &part, &inputs, 0.0, &mut rows);
            if matches!(self.form, Form::Cosine { .. }) {
                // The slope along a direction of any length: what changes the length alone goes out.
                for (i, mut row) in rows.outer_iter_mut().enumerate() {
                    let direction = used.row(from + i);
                    let along = row.dot(&direction);
                    row.scaled_add(-along, &direction);
                    row /= length(self.weight.row(from + i));
                }
            }
        });
        let bias = match self.form {
            Form::Linear => errors.sum_axis(Axis(1)) * share,
            Form::Cosine { .. } => Array1::zeros(self.bias.len()),
        };
        Gradient { loss, weight, bias }
    }

    /// Inputs and weights as they are multiplied, and the factor on their product.
    fn as_used<'a>(
        &'a self,
        features: ArrayView2<'a, f32>,
    ) -> (CowArray<'a, f32, Ix2>, CowArray<'a, f32, Ix2>, f32) {
        match self.form {
            Form::Linear => (features.into(), self.weight.view().into(), 1.0),
            Form::Cosine { scale } => (
                unit_rows(features).into(),
                unit_rows(self.weight.view()).into(),
                scale,
            ),
        }
    }
}

/// The slopes of the mean loss.
struct Gradient {
    loss: f32,
    weight: Array2<f32>,
    bias: Array1<f32>,
}

/// Turns logits `[C, N]` into probabilities, and gives the mean of `-log` of the own class's.
fn mean_loss(logits: &mut Array2<f32>, classes: &[usize]) -> f32 {
    let count = classes.len();
    let mut highest = Array1::from_elem(count, f32::NEG_INFINITY);
    for row in logits.outer_iter() {
        highest.zip_mut_with(&row, |h, &l| *h = h.max(l));
    }
    let mut sums = Array1::<f32>::zeros(count);
    for mut row in logits.outer_iter_mut() {
        row -= &highest;
        row.mapv_inplace(f32::exp);
        sums += &row;
    }
    let own = |(i, &class): (usize, &usize)| (sums[i] / logits[(class, i)].max(1e-30)).ln();
    let loss = classes.iter().enumerate().map(own).sum::<f32>() / count.max(1) as f32;
    for mut row in logits.outer_iter_mut() {
        row /= &sums;
    }
    loss
}

/// Works on blocks of rows of `target` at once; the same on any number of cores.
fn on_all_cores(target: &mut Array2<f32>, work: impl Fn(usize, ArrayViewMut2<f32>) + Sync) {
    let blocks: Vec<_> = target
        .axis_chunks_iter_mut(Axis(0), CLASSES_A_CORE)
        .collect();
    blocks
        .into_par_iter()
        .enumerate()
        .for_each(|(i, block)| work(i * CLASSES_A_CORE, block));
}

fn length(row: ArrayView1<f32>) -> f32 {
    row.dot(&row).sqrt().max(1e-12)
}

/// The rows, each of length 1.
pub fn unit_rows(rows: ArrayView2<f32>) -> Array2<f32> {
    let mut rows = rows.to_owned();
    for mut row in rows.outer_iter_mut() {
        let by = length(row.view());
        row /= by;
    }
    rows
}

/// Adam (Kingma and Ba, ICLR 2015).
struct Adam {
    weight: [Array2<f32>; 2],
    bias: [Array1<f32>; 2],
    steps: i32,
}

impl Adam {
    fn new((classes, wide): (usize, usize)) -> Self {
        Self {
            weight: [(); 2].map(|()| Array2::zeros((classes, wide))),
            bias: [(); 2].map(|()| Array1::zeros(classes)),
            steps: 0,
        }
    }

    fn step(&mut self, layer: &mut Softmax, gradient: &Gradient, rate: f32, decay: f32) {
        const KEPT: [f32; 2] = [0.9, 0.999];
        self.steps += 1;
        let [full, full_square] = KEPT.map(|kept| 1.0 - kept.powi(self.steps));
        let moved = |w: &mut f32, g: f32, mean: &mut f32, square: &mut f32, decay: f32| {
            *mean += (1.0 - KEPT[0]) * (g - *mean);
            *square += (1.0 - KEPT[1]) * (g * g - *square);
            let step = (*mean / full) / ((*square / full_square).sqrt() + 1e-8);
            *w -= rate * (step + decay * *w);
        };
        let [mean, square] = &mut self.weight;
        ndarray::Zip::from(&mut layer.weight)
            .and(&gradient.weight)
            .and(mean)
            .and(square)
            .for_each(|w, &g, mean, square| moved(w, g, mean, square, decay));
        if layer.form == Form::Linear {
            let [mean, square] = &mut self.bias;
            ndarray::Zip::from(&mut layer.bias)
                .and(&gradient.bias)
                .and(mean)
                .and(square)
                .for_each(|b, &g, mean, square| moved(b, g, mean, square, 0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [Form; 2] = [Form::Linear, Form::Cosine { scale: 6.0 }];

    fn drawn(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0f32))
    }

    fn training() -> Training {
        Training {
            epochs: 60,
            batch: 16,
            rate: 0.05,
            decay: 0.0,
            patience: 60,
            seed: 7,
        }
    }

    /// Three classes around three directions.
    fn separable(per_class: usize, seed: u64) -> (Array2<f32>, Vec<usize>) {
        let noise = drawn(3 * per_class, 4, seed);
        let classes: Vec<usize> = (0..3 * per_class).map(|i| i % 3).collect();
        let features = Array2::from_shape_fn(noise.dim(), |(i, d)| {
            f32::from(u8::from(classes[i] == d)) + 0.3 * noise[(i, d)]
        });
        (features, classes)
    }

    #[test]
    fn a_loss_worked_by_hand() {
        let layer = Softmax {
            weight: ndarray::array![[1.0, 0.0], [0.0, 2.0]],
            bias: ndarray::array![0.5, 0.0],
            form: Form::Linear,
        };
        let features = ndarray::array![[1.0, 1.0]];
        let examples = Examples {
            features: features.view(),
            classes: &[0],
        };
        // Logits 1.5 and 2.
        let expected = (1.0 + 0.5f32.exp()).ln();
        assert!((layer.loss(&examples) - expected).abs() < 1e-6);
        let cosine = Softmax {
            bias: ndarray::array![0.0, 0.0],
            form: Form::Cosine { scale: 4.0 },
            ..layer
        };
        // 45 degrees from both.
        assert!((cosine.loss(&examples) - 2f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let (features, classes) = (drawn(9, 5, 1), [0, 1, 2, 3, 0, 1, 2, 3, 3]);
        let examples = Examples {
            features: features.view(),
            classes: &classes,
        };
        for form in FORMS {
            let layer = Softmax {
                weight: drawn(4, 5, 2),
                bias: drawn(1, 4, 3).row(0).to_owned(),
                form,
            };
            let gradient = layer.gradient(&examples);
            let slope = |change: &dyn Fn(&mut Softmax, f32)| {
                let at = |by| {
                    let mut moved = layer.clone();
                    change(&mut moved, by);
                    moved.loss(&examples)
                };
                (at(1e-2) - at(-1e-2)) / 2e-2
            };
            for ((c, k), &g) in gradient.weight.indexed_iter() {
                let numeric = slope(&|l, by| l.weight[(c, k)] += by);
                assert!(
                    (g - numeric).abs() < 2e-3,
                    "{form:?} {c} {k}: {g} {numeric}"
                );
            }
            if form == Form::Linear {
                for (c, &g) in gradient.bias.indexed_iter() {
                    let numeric = slope(&|l, by| l.bias[c] += by);
                    assert!((g - numeric).abs() < 2e-3, "bias {c}: {g} {numeric}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_separated_is_learned_in_both_forms() {
        let ((features, classes), (others, truth)) = (separable(20, 1), separable(20, 2));
        for form in FORMS {
            let examples = Examples {
                features: features.view(),
                classes: &classes,
            };
            let trained = Softmax::train(form, 3, &examples, None, &training(), |_, _| {});
            let logits = trained.layer.logits(others.view());
            let right = truth.iter().enumerate().filter(|&(i, &class)| {
                (0..3).all(|c| c == class || logits[(c, i)] < logits[(class, i)])
            });
            assert!(right.count() >= 58, "{form:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_layer_on_any_number_of_cores() {
        let (features, classes) = separable(20, 1);
        let with = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let examples = Examples {
                features: features.view(),
                classes: &classes,
            };
            let training = Training { seed, ..training() };
            pool.install(|| {
                Softmax::train(FORMS[1], 200, &examples, None, &training, |_, _| {}).layer
            })
        };
        assert_eq!(with(1, 5), with(3, 5));
        assert_ne!(with(1, 5), with(1, 6));
    }

    #[test]
    fn it_ends_when_the_watched_photos_gain_nothing_more() {
        // Watched photos whose classes are wrong: the first pass is the best.
        let (features, classes) = separable(20, 1);
        let wrong: Vec<usize> = classes.iter().map(|c| (c + 1) % 3).collect();
        let examples = Examples {
            features: features.view(),
            classes: &classes,
        };
        let watch = Examples {
            features: features.view(),
            classes: &wrong,
        };
        let training = Training {
            patience: 4,
            ..training()
        };
        let mut passes = 0;
        let trained = Softmax::train(
            Form::Linear,
            3,
            &examples,
            Some(&watch),
            &training,
            |_, _| passes += 1,
        );
        assert_eq!((trained.epochs, passes), (1, 5));
    }
}
