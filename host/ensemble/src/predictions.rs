//! The guesses of a classifier for photos.

use super::classifier::Classifier;
use super::features::{embed, rows};
use anyhow::bail;
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::{LabelledPhoto, NEW_WHALE};
use flukewatch_eval::metrics::map_at_5::{GUESSES, precision};
use std::collections::{BTreeMap, BTreeSet};

/// Photos to classify.
#[derive(Clone, Debug)]
pub struct TestPhotos {
    photos: Vec<LabelledPhoto>,
    labelled: bool,
}

impl TestPhotos {
    /// The photos of a table or a folder, for a classifier that knows the whales `known`.
    ///
    /// An Id names one whale, even if it contains spaces. Only a table in which every Id is a list
    /// of guesses, like a submission, has no labels ([`is_guesses`]).
    ///
    /// # Errors
    /// When it lists a photo twice, with different boxes.
    pub fn of(photos: Vec<LabelledPhoto>, known: &BTreeSet<&str>) -> anyhow::Result<Self> {
        let mut seen = BTreeSet::new();
        if let Some(repeated) = photos.iter().find(|p| !seen.insert(p.name.as_str())) {
            bail!(
                "photo {} is listed twice, with different boxes",
                repeated.name
            );
        }
        let mut ids = photos.iter().filter_map(|p| p.whale.as_deref()).peekable();
        let labelled = ids.peek().is_none() || !ids.all(|id| is_guesses(id, known));
        Ok(Self { photos, labelled })
    }

    /// Whether the table labels its photos.
    pub fn labelled(&self) -> bool {
        self.labelled
    }
}

/// Whether an Id is a submission's list of guesses: two to five different words, each the name of a
/// known whale or `new_whale`, which together are not the name of a known whale. A list with
/// `new_whale` may name other whales.
fn is_guesses(id: &str, known: &BTreeSet<&str>) -> bool {
    let words: Vec<&str> = id.split_whitespace().collect();
    let different: BTreeSet<&str> = words.iter().copied().collect();
    (2..=GUESSES).contains(&words.len())
        && different.len() == words.len()
        && !known.contains(words.join(" ").as_str())
        && (different.contains(NEW_WHALE) || words.iter().all(|w| known.contains(w)))
}

/// Photos with their guesses.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Each photo with its guesses, best first.
    pub rows: Vec<(String, Vec<String>)>,
    /// The whale of each photo, where there are labels; `new_whale` for one that the classifier
    /// does not know.
    truth: Option<BTreeMap<String, String>>,
}

impl Predictions {
    /// Embeds and classifies the photos.
    ///
    /// # Errors
    /// When a photo cannot be used, or the number of features is not the classifier's.
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
                "the bundles give {} features per photo, expected {}; was the classifier trained with other views?",
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_dataset::Dataset;
    use flukewatch_eval::submission::file as submission;

    #[test]
    fn map_at_5_is_that_of_the_submission() {
        let row = |photo: &str, guesses: &str| {
            let guesses = guesses.split(' ').map(str::to_owned).collect();
            (photo.to_owned(), guesses)
        };
        let truth = [("a", "w1"), ("b", "w2"), ("c", "w3")];
        let predictions = Predictions {
            rows: vec![
                row("a", "w1 w2 w3 w4 w5"),
                row("b", "w1 new_whale w2 w4 w5"),
                row("c", "w1 w2 w4 w5 w6"),
            ],
            truth: Some(truth.map(|(p, w)| (p.to_owned(), w.to_owned())).into()),
        };
        let map = predictions.map_at_5().unwrap();
        assert!((map - (1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        submission::write(&path, &predictions.rows).unwrap();
        let scored = submission::score(&path, predictions.truth.as_ref().unwrap()).unwrap();
        assert!((map - scored.map_at_5).abs() < 1e-12);
    }

    #[test]
    fn a_submission_used_as_a_test_table_has_no_labels() {
        let known = known();
        let dir = tempfile::tempdir().unwrap();
        let table = |name: &str, lines: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            for photo in ["a.jpg", "b.jpg"] {
                std::fs::write(folder.join(photo), b"x").unwrap();
            }
            let path = folder.with_extension("csv");
            std::fs::write(&path, format!("Image,Id\n{lines}")).unwrap();
            TestPhotos::of(Dataset::open(&path, None).unwrap().photos, &known)
        };
        assert!(
            !table("sample", "a.jpg,new_whale w_7 w_8\n")
                .unwrap()
                .labelled
        );
        assert!(!table("guesses", "a.jpg,w_1 w_2\n").unwrap().labelled);
        assert!(table("labelled", "a.jpg,w_1\n").unwrap().labelled);

        let mixed = "a.jpg,Old Timer\nb.jpg,w_1\n";
        assert!(table("mixed", mixed).unwrap().labelled);
        let mixed = Dataset::open(&dir.path().join("mixed.csv"), None).unwrap();
        let mut twice = mixed.photos;
        twice.push(twice[0].clone());
        let error = TestPhotos::of(twice, &known).unwrap_err();
        assert!(error.to_string().contains("a.jpg is listed twice"));
    }

    #[test]
    fn names_with_spaces_are_labels() {
        for id in [
            "Old Timer",
            "Old  Timer",
            "Scar w_1",
            "w_1 w_1",
            "Mrs Nobody",
        ] {
            assert!(!is_guesses(id, &known()), "{id}");
        }
        let photos = ["Old Timer", "Mrs Nobody"].map(|whale| LabelledPhoto {
            path: "x".into(),
            name: whale.into(),
            whale: Some(whale.into()),
            region: None,
            date: None,
            encounter: None,
        });
        // Every Id has a space.
        assert!(TestPhotos::of(photos.into(), &known()).unwrap().labelled);
    }

    fn known() -> BTreeSet<&'static str> {
        ["w_1", "w_2", "Old Timer", "Old", "Timer"].into()
    }
}
