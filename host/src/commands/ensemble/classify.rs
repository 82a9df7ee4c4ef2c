#[cfg(feature = "train")]
mod train;

use crate::commands::data::TableArgs;
use crate::commands::labelled_data::SkipBroken;
use crate::commands::training_photos::AllowTrainingPhotos;
use clap::Args;
use std::path::PathBuf;

#[cfg(feature = "train")]
pub(super) use train::run;

#[cfg(not(feature = "train"))]
pub(super) fn run(_: &ClassifyArgs) -> anyhow::Result<()> {
    anyhow::bail!(flukewatch_train::MISSING)
}

/// Train a softmax over the whales of a table on the embeddings of several bundles
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch ensemble classify --train train.csv --test test.csv --submission guesses.csv --out whales.safetensors first second

The embeddings of all bundles are put side by side and projected to --dimension numbers. Where every bundle embeds plain and mirrored \
views, the mirror image of each whale is one more class. A first training leaves out two parts of the photos: in each all \
photos of one whale in ten, as new whales, and single photos (with those of their encounter, in tables with the column encounter) \
of others. The first part selects the number of epochs and the threshold below which new_whale comes first, together with photos \
named new_whale in the training table; the second part reports MAP@5 and selects nothing. A second training then uses all photos. \
It needs a build with the trainer.

MAP@5 is that of the first training. If a bundle was trained on some of the photos, it says nothing about other photos and is withheld \
unless --allow-training-photos is given; the threshold is then too high, too, for photos that no bundle was trained on.

A whale of the test table that training does not know counts as new_whale in MAP@5. A test table whose Ids all are lists \
of two to five known whales or new_whale (as Kaggle's sample_submission.csv) has no labels; a name with spaces is a label.")]
pub(super) struct ClassifyArgs {
    /// Bundles, folders or .flukebundle files
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Labelled photos to train on: a CSV or a folder with one folder per whale
    #[arg(long, value_name = "CSV|DIR")]
    train: PathBuf,
    /// Folder of the photos of the training CSV [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR")]
    train_photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Photos to identify: a CSV or a folder
    #[arg(long, value_name = "CSV|DIR", required_unless_present = "out")]
    test: Option<PathBuf>,
    /// Folder of the photos of the test CSV [default: the folder next to the CSV with its name]
    #[arg(long, value_name = "DIR", requires = "test")]
    test_photos: Option<PathBuf>,
    /// Split of the test CSV [default: all lines]
    #[arg(long, value_name = "NAME", requires = "test")]
    test_split: Option<String>,
    /// Write the guesses as a submission: Image,Id with five whales per photo
    #[arg(long, value_name = "CSV", requires = "test")]
    submission: Option<PathBuf>,
    /// Write the classifier, for flukewatch ensemble apply
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Weight of each bundle, in order [default: all the same]
    #[arg(long, value_delimiter = ',', value_name = "W,W")]
    weights: Vec<f32>,
    /// Number of features that the embeddings are projected to, if they have more
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    dimension: u32,
    /// Number of epochs at most
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Use plain softmax regression instead of cosines, for whales with many photos each
    #[arg(long)]
    linear: bool,
    /// Do not make classes of mirror images
    #[arg(long)]
    no_mirror: bool,
    /// Weight decay
    #[arg(long, default_value_t = 1e-4)]
    weight_decay: f64,
    /// Expected fraction of new whales among future photos; 0.28 in the contest of 2018
    #[arg(long, value_name = "FRACTION", default_value_t = 0.28)]
    new_fraction: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write JSON: the guesses, map_at_5 where there are labels, and the result of training
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    training: AllowTrainingPhotos,
    #[command(flatten)]
    broken: SkipBroken,
    /// Hide progress bars
    #[arg(long)]
    quiet: bool,
}
