//! `flukewatch ensemble apply`: a trained classifier on photos.

use super::classifier::{Classifier, precision};
use super::classify::Fitted;
use super::features::{embed, rows};
use crate::dataset::{Dataset, LabelledPhoto, NEW_WHALE};
use crate::submission;
use anyhow::bail;
use clap::Args;
use flukewatch_common::bundle::Bundle;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Guess the whales on photos with a classifier that flukewatch ensemble classify trained.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch ensemble apply whales.safetensors today.csv --submission guesses.csv first second

The bundles must be those of the training, in the same order. Each photo gets five guesses, best first, new_whale among them.")]
pub struct ApplyArgs {
    /// The classifier
    classifier: PathBuf,
    /// The photos: a CSV or a folder with a folder for each whale
    data: PathBuf,
    /// The bundles, folders or .flukebundle files
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Write the guesses as a submission: Image,Id with five whales a photo
    #[arg(long, value_name = "CSV")]
    submission: Option<PathBuf>,
    /// Write JSON: the guesses, and map_at_5 where there are labels
    #[arg(long)]
    json: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When classifier, bundles or photos cannot be used or do not belong together.
pub fn run(args: &ApplyArgs) -> anyhow::Result<()> {
    let classifier = Classifier::read(&args.classifier)?;
    let bundles = args
        .bundles
        .iter()
        .map(|path| Bundle::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    classifier.check_bundles(&bundles)?;
    let test = TestPhotos::open(&args.data, args.photos.as_deref())?;
    let answers = Answers::of(&classifier, &bundles, test, args.quiet || args.json)?;
    answers.give(args.submission.as_deref(), args.json, None)
}

/// Photos to guess.
#[derive(Clone, Debug)]
pub struct TestPhotos {
    photos: Vec<LabelledPhoto>,
    labelled: bool,
}

impl TestPhotos {
    /// Reads a table or a folder. Where a name in the table holds a space, the table has no labels: it is a submission's.
    ///
    /// # Errors
    /// When it cannot be read, or names a photo twice.
    pub fn open(path: &Path, photos: Option<&Path>) -> anyhow::Result<Self> {
        let photos = Dataset::open(path, photos)?.photos;
        let mut seen = BTreeSet::new();
        if let Some(twice) = photos.iter().find(|p| !seen.insert(p.name.as_str())) {
            bail!("{}: photo {} is named twice", path.display(), twice.name);
        }
        let labelled = photos
            .iter()
            .filter_map(|p| p.whale.as_deref())
            .all(|whale| !whale.contains(char::is_whitespace));
        Ok(Self { photos, labelled })
    }
}

/// Photos with their guesses.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Photo and guesses, best first.
    rows: Vec<(String, Vec<String>)>,
    /// Photo and whale, where there are labels; new_whale for one that the classifier does not know.
    truth: Option<BTreeMap<String, String>>,
}

impl Answers {
    /// Embeds and guesses.
    ///
    /// # Errors
    /// When a photo cannot be used, or the features are not the classifier's.
    pub fn of(
        classifier: &Classifier,
        bundles: &[Bundle],
        test: TestPhotos,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let about = &classifier.about;
        let weights: Vec<f32> = about.sources.iter().map(|s| s.weight).collect();
        let (embeddings, _) = embed(bundles, &weights, &test.photos, quiet)?;
        let features = rows(&embeddings);
        if features.ncols() != classifier.dimension() {
            bail!(
                "the bundles give {} numbers a photo, the classifier takes {}: was it trained with other views?",
                features.ncols(),
                classifier.dimension()
            );
        }
        let known: BTreeSet<&str> = about.whales.iter().map(String::as_str).collect();
        let label = |photo: &LabelledPhoto| {
            let whale = photo.whale.as_deref().filter(|w| known.contains(w));
            (photo.name.clone(), whale.unwrap_or(NEW_WHALE).to_owned())
        };
        let names = test.photos.iter().map(|p| p.name.clone());
        Ok(Self {
            truth: test
                .labelled
                .then(|| test.photos.iter().map(label).collect()),
            rows: names.zip(classifier.guesses(&features)).collect(),
        })
    }

    /// MAP@5, where there are labels.
    pub fn map_at_5(&self) -> Option<f64> {
        let truth = self.truth.as_ref()?;
        let of_row = |(photo, guesses): &(String, Vec<String>)| {
            precision(guesses.iter().position(|g| Some(g) == truth.get(photo)))
        };
        Some(self.rows.iter().map(of_row).sum::<f64>() / self.rows.len().max(1) as f64)
    }

    /// Writes the submission where one is wanted, and tells the guesses or how good they are.
    ///
    /// # Errors
    /// When the submission cannot be written.
    pub fn give(
        &self,
        submission: Option<&Path>,
        as_json: bool,
        fitted: Option<&Fitted>,
    ) -> anyhow::Result<()> {
        if let Some(path) = submission {
            submission::write(path, &self.rows)?;
            eprintln!("wrote {}", path.display());
        }
        let map = self.map_at_5();
        if as_json {
            let guesses: BTreeMap<_, _> = self.rows.iter().map(|(p, g)| (p, g)).collect();
            let all = json!({ "map_at_5": map, "training": fitted, "guesses": guesses });
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if submission.is_none() {
            for (photo, guesses) in &self.rows {
                println!("{photo}  {}", guesses.join("  "));
            }
        }
        if let Some(map) = map {
            println!("MAP@5  {map:.3}  ({} photos)", self.rows.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_that_of_the_submission() {
        let row = |photo: &str, guesses: &str| {
            let guesses = guesses.split(' ').map(str::to_owned).collect();
            (photo.to_owned(), guesses)
        };
        let truth = [("a", "w1"), ("b", "w2"), ("c", "w3")];
        let answers = Answers {
            rows: vec![
                row("a", "w1 w2 w3 w4 w5"),
                row("b", "w1 new_whale w2 w4 w5"),
                row("c", "w1 w2 w4 w5 w6"),
            ],
            truth: Some(truth.map(|(p, w)| (p.to_owned(), w.to_owned())).into()),
        };
        let map = answers.map_at_5().unwrap();
        assert!((map - (1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        answers.give(Some(&path), true, None).unwrap();
        let scored = submission::score(&path, answers.truth.as_ref().unwrap()).unwrap();
        assert!((map - scored).abs() < 1e-12);
    }

    #[test]
    fn a_submission_as_a_test_table_has_no_labels() {
        let dir = tempfile::tempdir().unwrap();
        let table = |name: &str, lines: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("a.jpg"), b"x").unwrap();
            let path = folder.with_extension("csv");
            std::fs::write(&path, format!("Image,Id\n{lines}")).unwrap();
            TestPhotos::open(&path, None)
        };
        assert!(
            !table("sample", "a.jpg,new_whale w_1 w_2\n")
                .unwrap()
                .labelled
        );
        assert!(table("labelled", "a.jpg,w_1\n").unwrap().labelled);
        let twice = table("twice", "a.jpg,w_1\na.jpg,w_2\n").unwrap_err();
        assert!(twice.to_string().contains("a.jpg is named twice"));
    }
}
