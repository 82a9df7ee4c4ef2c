//! `flukewatch ensemble classify`: a classifier of the whales of a table.

use super::apply::{Answers, TestPhotos};
use super::classifier::{
    About, Classifier, Source, best, model_of, probabilities, reduced, with_mirror_images,
};
use super::features::{common_views, embed, rows, weights};
use super::holdout::{Holdout, Looked, threshold};
use super::projection::Projection;
use super::softmax::{Examples, Form, Softmax, Training};
use crate::dataset::Dataset;
use anyhow::bail;
use clap::Args;
use flukewatch_common::bundle::{Bundle, View};
use ndarray::{Array2, Axis};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Train a softmax over the whales of a table on the embeddings of several bundles.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch ensemble classify --train train.csv --test test.csv --submission guesses.csv --out whales.safetensors first second

The embeddings of all bundles are put side by side and reduced to --dimension numbers. Where every bundle embeds photos plain and \
mirrored, the mirror image of each whale is one more class to tell apart. One whale in ten plays a new one in a first training, and \
single photos of others are watched: they set the number of passes and the threshold below which new_whale comes first; then all \
whales are trained on. Photos named new_whale in the training table help to set the threshold.

A whale of the test table that training does not know counts as new_whale in MAP@5. A test table whose Id column holds several \
names in a line (as Kaggle's sample_submission.csv) has no labels.")]
pub struct ClassifyArgs {
    /// The bundles, folders or .flukebundle files
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Labelled photos to train on: a CSV or a folder with a folder for each whale
    #[arg(long, value_name = "CSV|DIR")]
    train: PathBuf,
    /// The photos of the training CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    train_photos: Option<PathBuf>,
    /// Photos to guess, likewise
    #[arg(long, value_name = "CSV|DIR", required_unless_present = "out")]
    test: Option<PathBuf>,
    /// The photos of the test CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR", requires = "test")]
    test_photos: Option<PathBuf>,
    /// Write the guesses as a submission: Image,Id with five whales a photo
    #[arg(long, value_name = "CSV", requires = "test")]
    submission: Option<PathBuf>,
    /// Write the classifier, for flukewatch ensemble apply
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How much each bundle counts, in their order [default: all the same]
    #[arg(long, value_delimiter = ',', value_name = "W,W")]
    weights: Vec<f32>,
    /// Features that the embeddings are reduced to, where they have more
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    dimension: u32,
    /// Passes over the photos at most
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Plain softmax regression, for whales with many photos each, instead of cosines
    #[arg(long)]
    linear: bool,
    /// Make no classes of mirror images
    #[arg(long)]
    no_mirror: bool,
    /// Weight decay
    #[arg(long, default_value_t = 1e-4)]
    decay: f32,
    /// The share of new whales among the photos to come; 0.28 in the contest of 2018
    #[arg(long, default_value_t = 0.28)]
    new_share: f64,
    /// Of everything that chance decides
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write JSON: the guesses, map_at_5 where there are labels, and what training gave
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// How a classifier is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Features at most.
    pub dimension: usize,
    /// What a logit is.
    pub form: Form,
    /// Whether mirror images are classes; the features must hold plain and mirrored view.
    pub mirror: bool,
    /// The share of new whales among the photos to come.
    pub new_share: f64,
    /// Of both trainings.
    pub training: Training,
}

/// The photos of a table.
#[derive(Clone, Debug)]
pub struct Album {
    /// `[N, D]`, as they come from the bundles.
    pub features: Array2<f32>,
    /// The whales.
    pub whales: Vec<String>,
    /// The photos of each whale.
    pub photos_of: Vec<Vec<usize>>,
    /// Photos of whales without a name.
    pub unnamed: Vec<usize>,
}

/// What the first training gave.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Fitted {
    /// Passes.
    pub epochs: usize,
    /// Photos watched.
    pub watched: usize,
    /// Photos that played new whales.
    pub new: usize,
    /// MAP@5 on both, at the threshold and with the share of new whales that was asked for; none where either is missing.
    pub map_at_5: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// When bundles, tables or photos cannot be used, or a file cannot be written.
pub fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    if !(0.0..=1.0).contains(&args.new_share) {
        bail!("--new-share must be 0 to 1, not {}", args.new_share);
    }
    let bundles = args
        .bundles
        .iter()
        .map(|path| Bundle::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let weights = weights(&args.weights, bundles.len())?;
    let dataset = Dataset::open(&args.train, args.train_photos.as_deref())?;
    // Read before anything takes long.
    let test = match &args.test {
        Some(path) => Some(TestPhotos::open(path, args.test_photos.as_deref())?),
        None => None,
    };
    let quiet = args.quiet || args.json;
    let (embeddings, _) = embed(&bundles, &weights, &dataset.photos, quiet)?;
    let album = Album::of(&dataset, rows(&embeddings));
    if album.whales.len() < 2 {
        bail!(
            "{} names {} whale(s); a classifier needs at least two",
            args.train.display(),
            album.whales.len()
        );
    }
    let both = [View::Plain, View::Mirrored];
    let settings = Settings {
        dimension: args.dimension as usize,
        form: if args.linear {
            Form::Linear
        } else {
            Form::Cosine { scale: 20.0 }
        },
        mirror: !args.no_mirror && common_views(&bundles) == Some(&both),
        new_share: args.new_share,
        training: Training {
            epochs: args.epochs as usize,
            batch: 64,
            rate: 2e-3,
            decay: args.decay,
            patience: 4,
            seed: args.seed,
        },
    };
    let heard = |epoch: usize, loss: f32| {
        if !quiet {
            eprintln!("pass {epoch}: loss {loss:.4}");
        }
    };
    let sources = bundles
        .iter()
        .zip(&weights)
        .map(|(bundle, &weight)| Source {
            name: bundle.manifest.name.clone(),
            model: model_of(bundle).to_owned(),
            weight,
        })
        .collect();
    let (classifier, fitted) = fit(&album, sources, &settings, heard);
    match fitted.map_at_5 {
        Some(map) => eprintln!(
            "{} whales, {} passes; MAP@5 {map:.3} on {} photos kept back and {} of whales that played new ones; new below {:.3}",
            album.whales.len(),
            fitted.epochs,
            fitted.watched,
            fitted.new,
            classifier.about.new_below
        ),
        None => eprintln!(
            "too few whales with three photos to watch the training and to set a threshold for new ones: {} passes, new below {:.3}",
            fitted.epochs, classifier.about.new_below
        ),
    }
    if let Some(path) = &args.out {
        classifier.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(test) = test {
        let answers = Answers::of(&classifier, &bundles, test, quiet)?;
        answers.give(args.submission.as_deref(), args.json, Some(&fitted))?;
    } else if args.json {
        println!("{}", serde_json::to_string_pretty(&fitted)?);
    }
    Ok(())
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

    /// Photos and classes of the given positions; whales without any of them have no class, the others theirs in order.
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

/// What a threshold is where none can be set: a new whale comes first unless one whale is likelier than all others together.
const UNFITTED: f32 = 0.5;

/// Trains twice: without what is kept back, to learn how long and where new whales begin; then with everything.
pub fn fit(
    album: &Album,
    sources: Vec<Source>,
    settings: &Settings,
    mut heard: impl FnMut(usize, f32),
) -> (Classifier, Fitted) {
    let projection = (album.features.ncols() > settings.dimension).then(|| {
        let seed = settings.training.seed;
        Projection::fit(album.features.view(), settings.dimension, seed)
    });
    let projection = projection.as_ref();
    let parts = Holdout::of(&album.photos_of, settings.training.seed);
    let mut fitted = Fitted {
        epochs: settings.training.epochs,
        watched: parts.watched.len(),
        new: parts.new.len() + album.unnamed.len(),
        map_at_5: None,
    };
    let mut new_below = UNFITTED;
    if fitted.watched > 0 && fitted.new > 0 {
        let known: Vec<usize> = [&parts.train[..], &parts.watched].concat();
        let (_, classes, whales) = album.examples(&known);
        let (train, watched) = classes.split_at(parts.train.len());
        let of = |positions: &[usize]| album.features.select(Axis(0), positions);
        let watched_features = of(&parts.watched);
        let seen = reduced(&watched_features, projection);
        let watch = Examples {
            features: seen.view(),
            classes: watched,
        };
        let trained = train_on(
            (&of(&parts.train), train, whales),
            projection,
            Some(&watch),
            settings,
            &mut heard,
        );
        fitted.epochs = trained.1;
        let new: Vec<usize> = [&parts.new[..], &album.unnamed].concat();
        let truths = watched.iter().map(|&c| Some(c));
        let looked: Vec<Looked> = [watched_features, of(&new)]
            .iter()
            .flat_map(|features| {
                let p = probabilities(&trained.0, projection, settings.mirror, features);
                p.outer_iter()
                    .map(|row| best(&row.to_vec()))
                    .collect::<Vec<_>>()
            })
            .zip(truths.chain(new.iter().map(|_| None)))
            .map(|(best, truth)| Looked { best, truth })
            .collect();
        if let Some((at, map)) = threshold(&looked, settings.new_share) {
            new_below = at;
            fitted.map_at_5 = Some(map);
        }
    }
    let all: Vec<usize> = album.photos_of.iter().flatten().copied().collect();
    let (features, classes, whales) = album.examples(&all);
    let again = Settings {
        training: Training {
            epochs: fitted.epochs,
            ..settings.training
        },
        ..*settings
    };
    let examples = (&features, &classes[..], whales);
    let (layer, _) = train_on(examples, projection, None, &again, &mut heard);
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

/// A layer for photos, their classes and the number of whales, and the passes that it took.
fn train_on(
    (features, classes, whales): (&Array2<f32>, &[usize], usize),
    projection: Option<&Projection>,
    watch: Option<&Examples>,
    settings: &Settings,
    heard: impl FnMut(usize, f32),
) -> (Softmax, usize) {
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
    let trained = Softmax::train(
        settings.form,
        count,
        &examples,
        watch,
        &settings.training,
        heard,
    );
    (trained.layer, trained.epochs)
}

#[cfg(test)]
mod tests;
