//! A trained classifier, from the features of several bundles to five guesses, and its file.

use super::features::mirrored;
use super::layer::{Form, Layer, unit_rows};
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::NEW_WHALE;
use flukewatch_eval::metrics::map_at_5::{GUESSES, guesses};
use flukewatch_eval::pca::Pca;
use flukewatch_network::weights::{self, Values, Weights, WeightsError};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a classifier cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The file cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The file is not a classifier, or it is damaged.
    #[error("{path} is not a classifier of flukewatch ensemble classify: {why}")]
    Format {
        /// Path of the classifier.
        path: PathBuf,
        /// What is wrong with the file.
        why: String,
    },
    /// A bundle has another model than in training.
    #[error(
        "bundle {position} is {got}, but the classifier was trained on {expected}; pass the same bundles in the same order"
    )]
    OtherModel {
        /// Position of the bundle, from 1.
        position: usize,
        /// Name of the given bundle.
        got: String,
        /// The name of the bundle in training.
        expected: String,
    },
    /// The number of bundles is not that of training.
    #[error("expected {expected} bundles ({names}), as in training; got {got}")]
    Count {
        /// The number in training.
        expected: usize,
        /// Names of the bundles in training.
        names: String,
        /// Number of given bundles.
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
    /// Weight of its embedding, above 0.
    pub weight: f32,
}

impl Source {
    /// A bundle with its weight.
    pub fn of(bundle: &Bundle, weight: f32) -> Self {
        Self {
            name: bundle.manifest.name.clone(),
            model: model_of(bundle).to_owned(),
            weight,
        }
    }
}

/// The metadata of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The models, in the order of their features.
    pub sources: Vec<Source>,
    /// The whales, in the order of the classes.
    pub whales: Vec<String>,
    /// Whether the mirror image of each whale is a class.
    pub mirrored: bool,
    /// The factor on the cosine; `None` in the linear form.
    pub cosine_scale: Option<f32>,
    /// Below this probability of the best whale, `new_whale` comes first.
    pub new_below: f32,
}

/// Features → projection → softmax → five guesses.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// Models, whales and thresholds, stored as metadata of the file.
    pub about: About,
    /// Projection to fewer features, if any.
    pub(super) projection: Option<Pca>,
    /// The layer whose classes are the whales and then, if there are any, their mirror images.
    pub(super) layer: Layer,
}

/// Number of photos of a part that was not trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartSize {
    /// Photos of known whales.
    pub known: usize,
    /// Photos of whales that count as new.
    pub new: usize,
}

/// The result of the first training, which leaves two parts of the photos out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fitted {
    /// Epochs until the lowest loss on the part that selects.
    pub epochs: usize,
    /// The part that selected epochs and threshold.
    pub selected_on: PartSize,
    /// The part that selected nothing.
    pub reported_on: PartSize,
    /// MAP@5 on the latter; `None` if known or new whales are missing in either part.
    pub map_at_5: Option<f64>,
}

const ABOUT: &str = "flukewatch.classifier";

/// The inputs of the layer, `[N, K]`: projected if there is a projection, each of length 1.
pub(super) fn reduced(features: &Array2<f32>, projection: Option<&Pca>) -> Array2<f32> {
    match projection {
        Some(projection) => unit_rows(projection.project(features.view()).view()),
        None => unit_rows(features.view()),
    }
}

/// The probabilities of the whales, `[N, whales]`, for features `[N, D]`. With mirror classes, the
/// logit of a whale is the mean of its class for the photo and of its mirror class for the mirrored
/// photo.
pub(super) fn probabilities(
    layer: &Layer,
    projection: Option<&Pca>,
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

/// The most probable whales, best first, at most as many as guesses; equal ones by index.
pub(super) fn best(row: &[f32]) -> Vec<(usize, f32)> {
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

impl Classifier {
    /// Five guesses for each photo `[N, D]`; the threshold determines the rank of `new_whale`.
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
                let ranking = best
                    .iter()
                    .map(|&(whale, p)| (self.about.whales[whale].as_str(), p));
                guesses(ranking, NEW_WHALE, self.about.new_below)
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            })
            .collect()
    }

    /// Checks that these are the bundles of training.
    ///
    /// # Errors
    /// If one differs; names the first.
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

    /// Reads a file of [`Classifier::write`] and validates it.
    ///
    /// # Errors
    /// If the file is invalid; names the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self, ClassifierError> {
        let bad = |why: String| ClassifierError::Format {
            path: path.to_owned(),
            why,
        };
        let (mut tensors, metadata) = weights::read(path)?;
        let about = metadata
            .get(ABOUT)
            .ok_or_else(|| bad("its metadata is missing".into()))?;
        let about: About = serde_json::from_str(about).map_err(|e| bad(e.to_string()))?;
        let mut take = |name: &str| tensors.remove(name);
        let matrix = |name: &str, values: Option<Values>| {
            let values = values.ok_or_else(|| bad(format!("'{name}' is missing")))?;
            match *values.shape.as_slice() {
                [rows, columns] => Array2::from_shape_vec((rows, columns), values.data)
                    .map_err(|e| bad(format!("'{name}': {e}"))),
                _ => Err(bad(format!("'{name}' is not a matrix"))),
            }
        };
        let weight = matrix("softmax.weight", take("softmax.weight"))?;
        let bias = take("softmax.bias").map(|v| Array1::from(v.data));
        let classes = about.whales.len() * if about.mirrored { 2 } else { 1 };
        let bias = bias.filter(|b| b.len() == classes && weight.nrows() == classes && classes > 0);
        let bias =
            bias.ok_or_else(|| bad("the number of classes is not that of the whales".into()))?;
        let projection = match take("projection.axes") {
            None => None,
            Some(axes) => {
                let axes = matrix("projection.axes", Some(axes))?;
                let mean = take("projection.mean").map(|v| Array1::from(v.data));
                let mean =
                    mean.filter(|m| m.len() == axes.ncols() && axes.nrows() == weight.ncols());
                let mean = mean.ok_or_else(|| bad("the projection has the wrong shape".into()))?;
                Some(Pca { mean, axes })
            }
        };
        let form = match about.cosine_scale {
            Some(scale) => Form::Cosine { scale },
            None => Form::Linear,
        };
        Ok(Self {
            about,
            projection,
            layer: Layer { weight, bias, form },
        })
    }

    /// The number of features that it reads.
    pub fn dimension(&self) -> usize {
        match &self.projection {
            Some(projection) => projection.axes.ncols(),
            None => self.layer.weight.ncols(),
        }
    }
}

/// The SHA-256 of a bundle's model.
fn model_of(bundle: &Bundle) -> &str {
    let parts = &bundle.manifest.parts;
    &parts.get("model").expect("every bundle has a model").sha256
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
            projection: Some(Pca {
                mean: ndarray::array![0.0, 0.0, 0.0, 0.0],
                axes: ndarray::array![[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
            }),
            layer: Layer {
                weight: ndarray::array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]],
                bias: Array1::zeros(3),
                form: Form::Cosine { scale: 8.0 },
            },
        }
    }

    #[test]
    fn the_threshold_determines_the_rank_of_a_new_whale() {
        let features = ndarray::array![[1.0, 0.1, 9.0, 9.0], [1.0, 1.0, 0.0, 0.0]];
        let guesses = classifier().guesses(&features);
        assert_eq!(guesses[0], ["A", "new_whale", "B", "C"]);
        // Equal probabilities, a little below a half each.
        assert_eq!(guesses[1], ["new_whale", "A", "B", "C"]);
    }

    #[test]
    fn mirror_classes_are_scored_on_the_mirrored_photo() {
        // Two whales, plain and mirrored view of one number each; classes A, B, A mirrored, B
        // mirrored.
        let layer = Layer {
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
    fn a_file_reads_back_and_invalid_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.safetensors");
        classifier().write(&path).unwrap();
        assert_eq!(Classifier::read(&path).unwrap(), classifier());
        let mut damaged = classifier();
        damaged.about.whales.pop();
        damaged.write(&path).unwrap();
        let error = Classifier::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("the number of classes is not that of the whales"),
            "{error}"
        );
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
