//! Fits a classifier to the whales of a table.

use crate::classifier::{About, Classifier, Fitted, Source, best, probabilities, reduced};
use crate::features::mirrored;
use crate::holdout::{Holdout, Ranked, threshold};
use crate::layer::{Form, Layer};
use flukewatch_dataset::Dataset;
use flukewatch_eval::pca::Pca;
use flukewatch_train::classifier::{ClassifierSettings, Examples, train};
use ndarray::{Array2, Axis, concatenate};
use std::collections::BTreeSet;

/// Rounds of subspace iteration of the projection.
const PROJECTION_ROUNDS: usize = 4;

/// Settings of a classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Maximum number of features after the projection.
    pub dimension: usize,
    /// The form of the logits.
    pub form: Form,
    /// Whether mirror images are classes; the features must hold plain and mirrored view.
    pub mirror: bool,
    /// Expected fraction of new whales among future photos.
    pub new_fraction: f64,
    /// For both trainings.
    pub training: ClassifierSettings,
}

/// The photos of a table.
#[derive(Clone, Debug)]
pub struct Album {
    /// Features `[N, D]`, as the bundles compute them.
    pub features: Array2<f32>,
    /// Names of the whales, in the order of the classes.
    pub whales: Vec<String>,
    /// Positions of the photos of each whale.
    pub photos_of: Vec<Vec<usize>>,
    /// Positions of photos without a name.
    pub unnamed: Vec<usize>,
}

impl Album {
    /// The photos of a dataset, whales by name.
    pub fn of(dataset: &Dataset, features: Array2<f32>) -> Self {
        let by_whale = dataset.by_whale();
        Self {
            features,
            whales: by_whale.keys().map(|&w| w.to_owned()).collect(),
            unnamed: (0..dataset.photos.len())
                .filter(|&p| dataset.photos[p].whale.is_none())
                .collect(),
            photos_of: by_whale.into_values().collect(),
        }
    }

    /// Features and classes of the given positions, and the number of classes: of the whales that have
    /// one of them, in order.
    fn examples(&self, positions: &[usize]) -> (Array2<f32>, Vec<usize>, usize) {
        let taken: BTreeSet<usize> = positions.iter().copied().collect();
        let mut class_of = vec![None; self.features.nrows()];
        let mut classes = 0;
        for photos in &self.photos_of {
            if photos.iter().any(|p| taken.contains(p)) {
                photos.iter().for_each(|&p| class_of[p] = Some(classes));
                classes += 1;
            }
        }
        let own = positions.iter().filter_map(|&p| class_of[p]).collect();
        (self.features.select(Axis(0), positions), own, classes)
    }
}

/// Threshold if none can be fitted: a new whale comes first unless one whale is more probable than
/// all others together.
const UNFITTED: f32 = 0.5;

/// Trains twice: without held-out photos, for the number of epochs and the threshold; then with all.
pub fn fit(
    album: &Album,
    sources: Vec<Source>,
    settings: &Settings,
    mut on_epoch: impl FnMut(usize, f64),
) -> (Classifier, Fitted) {
    let projection = (album.features.ncols() > settings.dimension).then(|| {
        let seed = settings.training.seed;
        Pca::fit(
            album.features.view(),
            settings.dimension,
            PROJECTION_ROUNDS,
            seed,
        )
    });
    let projection = projection.as_ref();
    let parts = Holdout::of(&album.photos_of, settings.training.seed);
    let mut fitted = Fitted {
        epochs: settings.training.epochs,
        validation: parts.validation.len(),
        new: parts.new.len() + album.unnamed.len(),
        map_at_5: None,
    };
    let mut new_below = UNFITTED;
    if fitted.validation > 0 && fitted.new > 0 {
        let known: Vec<usize> = [&parts.train[..], &parts.validation].concat();
        let (_, classes, whales) = album.examples(&known);
        let (train, labels) = classes.split_at(parts.train.len());
        let of = |positions: &[usize]| album.features.select(Axis(0), positions);
        let validation_features = of(&parts.validation);
        let seen = reduced(&validation_features, projection);
        let validation = Examples {
            features: seen.view(),
            classes: labels,
        };
        let trained = train_on(
            (&of(&parts.train), train, whales),
            projection,
            Some(&validation),
            settings,
            &mut on_epoch,
        );
        fitted.epochs = trained.1;
        let new: Vec<usize> = [&parts.new[..], &album.unnamed].concat();
        let truths = labels.iter().map(|&c| Some(c));
        let ranked: Vec<Ranked> = [validation_features, of(&new)]
            .iter()
            .flat_map(|features| {
                let p = probabilities(&trained.0, projection, settings.mirror, features);
                p.outer_iter()
                    .map(|row| best(&row.to_vec()))
                    .collect::<Vec<_>>()
            })
            .zip(truths.chain(new.iter().map(|_| None)))
            .map(|(best, truth)| Ranked { best, truth })
            .collect();
        if let Some((at, map)) = threshold(&ranked, settings.new_fraction) {
            new_below = at;
            fitted.map_at_5 = Some(map);
        }
    }
    let all: Vec<usize> = album.photos_of.iter().flatten().copied().collect();
    let (features, classes, whales) = album.examples(&all);
    let again = Settings {
        training: ClassifierSettings {
            epochs: fitted.epochs,
            ..settings.training
        },
        ..*settings
    };
    let examples = (&features, &classes[..], whales);
    let (layer, _) = train_on(examples, projection, None, &again, &mut on_epoch);
    let about = About {
        sources,
        whales: album.whales.clone(),
        mirrored: settings.mirror,
        cosine_scale: match settings.form {
            Form::Linear => None,
            Form::Cosine { scale } => Some(scale),
        },
        new_below,
    };
    let classifier = Classifier {
        about,
        projection: projection.cloned(),
        layer,
    };
    (classifier, fitted)
}

/// Trains a layer on photos, given their classes and the number of whales; returns it with its
/// number of epochs.
fn train_on(
    (features, classes, whales): (&Array2<f32>, &[usize], usize),
    projection: Option<&Pca>,
    validation: Option<&Examples<'_>>,
    settings: &Settings,
    on_epoch: impl FnMut(usize, f64),
) -> (Layer, usize) {
    let (features, classes, count) = if settings.mirror {
        let (features, classes) = with_mirror_images(features, classes, whales);
        (features, classes, 2 * whales)
    } else {
        (features.clone(), classes.to_vec(), whales)
    };
    let inputs = reduced(&features, projection);
    let examples = Examples {
        features: inputs.view(),
        classes: &classes,
    };
    let cosine_scale = match settings.form {
        Form::Linear => None,
        Form::Cosine { scale } => Some(f64::from(scale)),
    };
    let training = &settings.training;
    let trained = train(
        count,
        cosine_scale,
        &examples,
        validation,
        training,
        on_epoch,
    );
    let layer = Layer {
        weight: trained.weight,
        bias: trained.bias,
        form: settings.form,
    };
    (layer, trained.epochs)
}

/// The examples followed by their mirror images, whose classes follow the others.
fn with_mirror_images(
    features: &Array2<f32>,
    classes: &[usize],
    whales: usize,
) -> (Array2<f32>, Vec<usize>) {
    let both = concatenate(Axis(0), &[features.view(), mirrored(features).view()])
        .expect("a mirrored row is as long as the row");
    let turned = classes.iter().map(|c| c + whales);
    (both, classes.iter().copied().chain(turned).collect())
}

#[cfg(test)]
mod tests;
