//! The trained thing: from the features of several bundles to five guesses, and its file.

use super::features::mirrored;
use super::projection::Projection;
use super::softmax::{Form, Softmax, unit_rows};
use crate::dataset::NEW_WHALE;
use crate::network::weights::{self, Values, Weights, WeightsError};
use flukewatch_common::bundle::Bundle;
use ndarray::{Array1, Array2, Axis, concatenate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a classifier cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A safetensors file, but no classifier, or a damaged one.
    #[error("{path} is no classifier of flukewatch ensemble classify: {why}")]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Made for other models.
    #[error(
        "bundle {position} is {got}, the classifier was trained on {expected}: give the same bundles in the same order"
    )]
    OtherModel {
        /// Counted from 1.
        position: usize,
        /// The bundle's name.
        got: String,
        /// The name that it had.
        expected: String,
    },
    /// More or fewer bundles.
    #[error("the classifier was trained on {expected} bundles ({names}), {got} are given")]
    Count {
        /// Of the classifier.
        expected: usize,
        /// Their names.
        names: String,
        /// Given.
        got: usize,
    },
}

/// A model that features come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The bundle's name.
    pub name: String,
    /// The SHA-256 of its model.
    pub model: String,
    /// Its weight.
    pub weight: f32,
}

/// What belongs to a classifier besides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The models, in the order of their features.
    pub sources: Vec<Source>,
    /// The whales, in the order of the classes.
    pub whales: Vec<String>,
    /// Whether each whale has a second class for its mirror image.
    pub mirrored: bool,
    /// The factor on the cosine; absent in the linear form.
    pub cosine_scale: Option<f32>,
    /// Below this probability of the best whale, a new one comes first.
    pub new_below: f32,
}

/// Features → fewer → softmax → five guesses.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// What belongs to it.
    pub about: About,
    /// To fewer features, where there were more.
    pub projection: Option<Projection>,
    /// Over the whales, then over their mirror images.
    pub layer: Softmax,
}

/// How many whales are guessed for a photo.
pub const GUESSES: usize = 5;

const ABOUT: &str = "flukewatch.classifier";

/// The features that the layer takes, `[N, K]`: projected where a projection is given, each of length 1.
pub fn reduced(features: &Array2<f32>, projection: Option<&Projection>) -> Array2<f32> {
    match projection {
        Some(projection) => unit_rows(projection.apply(features.view()).view()),
        None => unit_rows(features.view()),
    }
}

/// The probabilities of the whales, `[N, whales]`, for photos `[N, D]` as they come from the bundles. With mirror classes, a
/// whale's logit is the mean of its own for the photo and of its mirror image's for the mirrored photo.
pub fn probabilities(
    layer: &Softmax,
    projection: Option<&Projection>,
    with_mirror: bool,
    features: &Array2<f32>,
) -> Array2<f32> {
    let mut logits = layer.logits(reduced(features, projection).view());
    if with_mirror {
        let whales = logits.nrows() / 2;
        let turned = layer.logits(reduced(&mirrored(features), projection).view());
        logits = (&logits.slice(ndarray::s![..whales, ..])
            + &turned.slice(ndarray::s![whales.., ..]))
            * 0.5;
    }
    let mut rows = logits.reversed_axes();
    for mut row in rows.outer_iter_mut() {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.mapv_inplace(|l| (l - highest).exp());
        let sum = row.sum();
        row /= sum;
    }
    rows
}

/// Examples with those of the mirror images after them, each as a class of its own behind the others.
pub fn with_mirror_images(
    features: &Array2<f32>,
    classes: &[usize],
    whales: usize,
) -> (Array2<f32>, Vec<usize>) {
    let both = concatenate(Axis(0), &[features.view(), mirrored(features).view()])
        .unwrap_or_else(|_| features.clone());
    let turned = classes.iter().map(|c| c + whales);
    (both, classes.iter().copied().chain(turned).collect())
}

/// The best whales of a row of probabilities, best first, as many as there may be guesses; equal ones by number.
pub fn best(row: &[f32]) -> Vec<(usize, f32)> {
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(GUESSES + 1);
    for (whale, &p) in row.iter().enumerate() {
        let at = best.partition_point(|&(_, b)| b >= p);
        if at < GUESSES {
            best.insert(at, (whale, p));
            best.truncate(GUESSES);
        }
    }
    best
}

/// Where in a ranking a new whale stands: before the first whale whose probability is below `new_below`.
pub fn place_of_new(best: &[(usize, f32)], new_below: f32) -> usize {
    best.iter().take_while(|(_, p)| *p >= new_below).count()
}

/// What a photo adds to MAP@5: 1 / rank of the right whale (from 0), nothing where it is not among the guesses.
pub fn precision(rank: Option<usize>) -> f64 {
    match rank {
        Some(rank) if rank < GUESSES => 1.0 / (rank + 1) as f64,
        _ => 0.0,
    }
}

impl Classifier {
    /// Five guesses for each photo `[N, D]`, `new_whale` among them where the threshold puts it.
    pub fn guesses(&self, features: &Array2<f32>) -> Vec<Vec<String>> {
        let all = probabilities(
            &self.layer,
            self.projection.as_ref(),
            self.about.mirrored,
            features,
        );
        all.outer_iter()
            .map(|row| {
                let best = best(&row.to_vec());
                let mut names: Vec<String> = best
                    .iter()
                    .map(|&(whale, _)| self.about.whales[whale].clone())
                    .collect();
                names.insert(
                    place_of_new(&best, self.about.new_below),
                    NEW_WHALE.to_owned(),
                );
                names.truncate(GUESSES);
                names
            })
            .collect()
    }

    /// Whether these are the bundles that it was trained on.
    ///
    /// # Errors
    /// Naming the first that is not.
    pub fn check_bundles(&self, bundles: &[Bundle]) -> Result<(), ClassifierError> {
        let sources = &self.about.sources;
        if sources.len() != bundles.len() {
            let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
            return Err(ClassifierError::Count {
                expected: sources.len(),
                names: names.join(", "),
                got: bundles.len(),
            });
        }
        for (i, (source, bundle)) in sources.iter().zip(bundles).enumerate() {
            if source.model != model_of(bundle) {
                return Err(ClassifierError::OtherModel {
                    position: i + 1,
                    got: bundle.manifest.name.clone(),
                    expected: source.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// Saves it as a safetensors file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ClassifierError> {
        let matrix = |m: &Array2<f32>| Values {
            shape: m.shape().to_vec(),
            data: m.iter().copied().collect(),
        };
        let vector = |v: &Array1<f32>| Values {
            shape: vec![v.len()],
            data: v.to_vec(),
        };
        let mut tensors = Weights::from([
            ("softmax.weight".to_owned(), matrix(&self.layer.weight)),
            ("softmax.bias".to_owned(), vector(&self.layer.bias)),
        ]);
        if let Some(projection) = &self.projection {
            tensors.insert("projection.mean".into(), vector(&projection.mean));
            tensors.insert("projection.axes".into(), matrix(&projection.axes));
        }
        let about = serde_json::to_string(&self.about).map_err(|e| ClassifierError::Format {
            path: path.to_owned(),
            why: e.to_string(),
        })?;
        weights::write(path, &tensors, &BTreeMap::from([(ABOUT.to_owned(), about)]))?;
        Ok(())
    }

    /// Reads what [`Classifier::write`] wrote, and checks that its parts fit together.
    ///
    /// # Errors
    /// Naming the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ClassifierError> {
        let bad = |why: String| ClassifierError::Format {
            path: path.to_owned(),
            why,
        };
        let (mut tensors, metadata) = weights::read(path)?;
        let about = metadata
            .get(ABOUT)
            .ok_or_else(|| bad("its description is missing".into()))?;
        let about: About = serde_json::from_str(about).map_err(|e| bad(e.to_string()))?;
        let mut take = |name: &str| tensors.remove(name);
        let matrix = |name: &str, values: Option<Values>| {
            let values = values.ok_or_else(|| bad(format!("it has no '{name}'")))?;
            match *values.shape.as_slice() {
                [rows, columns] => Array2::from_shape_vec((rows, columns), values.data)
                    .map_err(|e| bad(format!("'{name}': {e}"))),
                _ => Err(bad(format!("'{name}' is no matrix"))),
            }
        };
        let weight = matrix("softmax.weight", take("softmax.weight"))?;
        let bias = take("softmax.bias").map(|v| Array1::from(v.data));
        let classes = about.whales.len() * if about.mirrored { 2 } else { 1 };
        let bias = bias.filter(|b| b.len() == classes && weight.nrows() == classes && classes > 0);
        let bias = bias.ok_or_else(|| bad("its classes are not its whales".into()))?;
        let projection = match take("projection.axes") {
            None => None,
            Some(axes) => {
                let axes = matrix("projection.axes", Some(axes))?;
                let mean = take("projection.mean").map(|v| Array1::from(v.data));
                let mean =
                    mean.filter(|m| m.len() == axes.ncols() && axes.nrows() == weight.ncols());
                let mean = mean.ok_or_else(|| bad("its projection does not fit".into()))?;
                Some(Projection { mean, axes })
            }
        };
        let form = match about.cosine_scale {
            Some(scale) => Form::Cosine { scale },
            None => Form::Linear,
        };
        Ok(Self {
            about,
            projection,
            layer: Softmax { weight, bias, form },
        })
    }

    /// Numbers of the features that it takes.
    pub fn dimension(&self) -> usize {
        match &self.projection {
            Some(projection) => projection.axes.ncols(),
            None => self.layer.weight.ncols(),
        }
    }
}

/// The SHA-256 of a bundle's model.
pub fn model_of(bundle: &Bundle) -> &str {
    bundle
        .manifest
        .parts
        .get("model")
        .map_or("", |part| &part.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classifier() -> Classifier {
        Classifier {
            about: About {
                sources: vec![Source {
                    name: "m".into(),
                    model: "00".into(),
                    weight: 1.0,
                }],
                whales: ["A", "B", "C"].map(str::to_owned).to_vec(),
                mirrored: false,
                cosine_scale: Some(8.0),
                new_below: 0.5,
            },
            projection: Some(Projection {
                mean: ndarray::array![0.0, 0.0, 0.0, 0.0],
                axes: ndarray::array![[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
            }),
            layer: Softmax {
                weight: ndarray::array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]],
                bias: Array1::zeros(3),
                form: Form::Cosine { scale: 8.0 },
            },
        }
    }

    #[test]
    fn a_new_whale_stands_where_the_threshold_puts_it() {
        let features = ndarray::array![[1.0, 0.1, 9.0, 9.0], [1.0, 1.0, 0.0, 0.0]];
        let guesses = classifier().guesses(&features);
        assert_eq!(guesses[0], ["A", "new_whale", "B", "C"]);
        // Equal probabilities, a little below a half each.
        assert_eq!(guesses[1], ["new_whale", "A", "B", "C"]);
    }

    #[test]
    fn mirror_classes_are_asked_with_the_mirrored_photo() {
        // Two whales, plain and mirrored view of one number each; classes A, B, A mirrored, B mirrored.
        let layer = Softmax {
            weight: ndarray::array![[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.8, 0.6]],
            bias: Array1::zeros(4),
            form: Form::Cosine { scale: 2.0 },
        };
        let p = probabilities(&layer, None, true, &ndarray::array![[1.0, 0.0]]);
        // A: (1 + 1) / 2, B: (0.6 + 0.6) / 2, times 2.
        let expected = 2f32.exp() / (2f32.exp() + 1.2f32.exp());
        assert!((p[(0, 0)] - expected).abs() < 1e-6, "{p}");
    }

    #[test]
    fn it_reads_back_and_refuses_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        classifier().write(&path).unwrap();
        assert_eq!(Classifier::read(&path).unwrap(), classifier());
        let mut damaged = classifier();
        damaged.about.whales.pop();
        damaged.write(&path).unwrap();
        let error = Classifier::read(&path).unwrap_err().to_string();
        assert!(error.contains("its classes are not its whales"), "{error}");
        let other = Values {
            shape: vec![1],
            data: vec![0.0],
        };
        let other = Weights::from([("x".to_owned(), other)]);
        let metadata = BTreeMap::from([("made_by".to_owned(), "another".to_owned())]);
        weights::write(&path, &other, &metadata).unwrap();
        assert!(matches!(
            Classifier::read(&path),
            Err(ClassifierError::Format { .. })
        ));
        std::fs::write(&path, b"what").unwrap();
        assert!(matches!(
            Classifier::read(&path),
            Err(ClassifierError::Weights(_))
        ));
    }
}
