//! Fits a classifier to the whales of a table.

use crate::classifier::{About, Classifier, Fitted, Source, best, probabilities, reduced};
use crate::features::mirrored;

use crate::layer::{Form, Layer};
use crate::parts::{FitPart, HeldOutPart, Parts, Ranked, Rankings, SelectPart, WhalePhotos};
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
    /// The photos of each whale.
    photos_of: Vec<WhalePhotos>,
    /// Positions of photos without a name.
    unnamed: Vec<usize>,
}

impl Album {
    /// The photos of a dataset, whales by name.
    pub fn of(dataset: &Dataset, features: Array2<f32>) -> Self {
        let by_whale = dataset.by_whale();
        let encounter = |&photo: &usize| dataset.photos[photo].encounter.clone();
        Self {
            features,
            whales: by_whale.keys().map(|&w| w.to_owned()).collect(),
            unnamed: (0..dataset.photos.len())
                .filter(|&p| dataset.photos[p].whale.is_none())
                .collect(),
            photos_of: by_whale
                .into_values()
                .map(|photos| WhalePhotos {
                    encounters: photos.iter().map(encounter).collect(),
                    photos,
                })
                .collect(),
        }
    }

    /// The classes of a classifier that is fitted on `part`: its whales, in order.
    fn classes(&self, part: &FitPart) -> Classes {
        let fitted: BTreeSet<usize> = part.photos().iter().copied().collect();
        let mut classes = Classes {
            of_photo: vec![None; self.features.nrows()],
            count: 0,
        };
        for whale in &self.photos_of {
            if whale.photos.iter().any(|p| fitted.contains(p)) {
                let class = Some(classes.count);
                whale
                    .photos
                    .iter()
                    .for_each(|&p| classes.of_photo[p] = class);
                classes.count += 1;
            }
        }
        classes
    }

    fn features_of(&self, photos: &[usize]) -> Array2<f32> {
        self.features.select(Axis(0), photos)
    }
}

/// The classes of a classifier.
struct Classes {
    /// The class of each photo; `None` if its whale has none.
    of_photo: Vec<Option<usize>>,
    count: usize,
}

impl Classes {
    /// The classes of photos whose whales all have one.
    fn of(&self, photos: &[usize]) -> Vec<usize> {
        photos.iter().filter_map(|&p| self.of_photo[p]).collect()
    }
}

/// Threshold if none can be selected: a new whale comes first unless one whale is more probable than
/// all others together.
const UNFITTED: f32 = 0.5;

/// Fits, selects and reports on three parts of the photos; then fits on all of them, with the selected
/// number of epochs, the classifier that is returned.
pub fn fit(
    album: &Album,
    sources: Vec<Source>,
    settings: &Settings,
    mut on_epoch: impl FnMut(usize, f64),
) -> (Classifier, Fitted) {
    let parts = Parts::of(&album.photos_of, &album.unnamed, settings.training.seed);
    let mut fitted = Fitted {
        epochs: settings.training.epochs,
        selected_on: parts.select.size(),
        reported_on: parts.report.size(),
        map_at_5: None,
    };
    let mut new_below = UNFITTED;
    if fitted.selected_on.known > 0 && fitted.selected_on.new > 0 {
        let (model, epochs) = Model::fit(
            album,
            &parts.fit,
            Some(&parts.select),
            settings,
            &mut on_epoch,
        );
        fitted.epochs = epochs;
        let rank = |photos: &[usize]| model.rank(album, photos);
        if let Some(at) = Rankings::of(&parts.select, rank).threshold(settings.new_fraction) {
            new_below = at;
            fitted.map_at_5 = Rankings::of(&parts.report, rank).map_at_5(at, settings.new_fraction);
        }
    }
    let again = Settings {
        training: ClassifierSettings {
            epochs: fitted.epochs,
            ..settings.training
        },
        ..*settings
    };
    let all = FitPart::all(&album.photos_of);
    let (model, _) = Model::fit(album, &all, None, &again, &mut on_epoch);
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
        projection: model.projection,
        layer: model.layer,
    };
    (classifier, fitted)
}

/// What is fitted on a [`FitPart`].
struct Model {
    projection: Option<Pca>,
    layer: Layer,
    classes: Classes,
    mirror: bool,
}

impl Model {
    /// Fits projection and layer on `part`; `selection` chooses the number of epochs, which is returned.
    fn fit(
        album: &Album,
        part: &FitPart,
        selection: Option<&SelectPart>,
        settings: &Settings,
        on_epoch: impl FnMut(usize, f64),
    ) -> (Self, usize) {
        let features = album.features_of(part.photos());
        let projection = (features.ncols() > settings.dimension).then(|| {
            let seed = settings.training.seed;
            Pca::fit(features.view(), settings.dimension, PROJECTION_ROUNDS, seed)
        });
        let classes = album.classes(part);
        let labels = classes.of(part.photos());
        let (features, labels, count) = if settings.mirror {
            let (features, labels) = with_mirror_images(&features, &labels, classes.count);
            (features, labels, 2 * classes.count)
        } else {
            (features, labels, classes.count)
        };
        let inputs = reduced(&features, projection.as_ref());
        let examples = Examples {
            features: inputs.view(),
            classes: &labels,
        };
        let held_out = selection.map(|part| {
            let features = album.features_of(part.known());
            (
                reduced(&features, projection.as_ref()),
                classes.of(part.known()),
            )
        });
        let held_out = held_out.as_ref().map(|(features, classes)| Examples {
            features: features.view(),
            classes,
        });
        let cosine_scale = match settings.form {
            Form::Linear => None,
            Form::Cosine { scale } => Some(f64::from(scale)),
        };
        let trained = train(
            count,
            cosine_scale,
            &examples,
            held_out.as_ref(),
            &settings.training,
            on_epoch,
        );
        let layer = Layer {
            weight: trained.weight,
            bias: trained.bias,
            form: settings.form,
        };
        let mirror = settings.mirror;
        let model = Self {
            projection,
            layer,
            classes,
            mirror,
        };
        (model, trained.epochs)
    }

    /// The rankings of photos.
    fn rank(&self, album: &Album, photos: &[usize]) -> Vec<Ranked> {
        let features = album.features_of(photos);
        let projection = self.projection.as_ref();
        let p = probabilities(&self.layer, projection, self.mirror, &features);
        p.outer_iter()
            .zip(photos)
            .map(|(row, &photo)| Ranked {
                best: best(&row.to_vec()),
                truth: self.classes.of_photo[photo],
            })
            .collect()
    }
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
