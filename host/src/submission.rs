//! Submissions to the humpback contests: for each photo five whales, best first, and their measure, MAP@5.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many whales a photo may name.
const GUESSES: usize = 5;

/// Why a submission cannot be written or scored.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The file itself.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No table, or one that is damaged.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A row that the form cannot hold.
    #[error("photo {photo}: {reason}")]
    Row {
        /// The photo.
        photo: String,
        /// What is wrong.
        reason: String,
    },
    /// A photo of the truth is not in it.
    #[error("{path} has no line for photo {photo}; each photo needs one")]
    Missing {
        /// Which submission.
        path: PathBuf,
        /// The photo.
        photo: String,
    },
}

/// Writes `Image,Id`: a photo a line, its whales best first, with spaces between.
///
/// # Errors
/// When a row has no whale, more than [`GUESSES`], one twice, or one whose name holds a space; nothing is written then.
pub fn write(path: &Path, rows: &[(String, Vec<String>)]) -> Result<(), SubmissionError> {
    let mut table = csv::Writer::from_writer(vec![]);
    let line = |e: csv::Error| SubmissionError::Line {
        path: path.to_owned(),
        line: 0,
        reason: e.to_string(),
    };
    table.write_record(["Image", "Id"]).map_err(line)?;
    for (photo, whales) in rows {
        let reason = if whales.is_empty() || whales.len() > GUESSES {
            Some(format!(
                "{} whales are named, 1 to {GUESSES} may be",
                whales.len()
            ))
        } else if let Some(name) = whales
            .iter()
            .find(|w| w.is_empty() || w.contains(char::is_whitespace))
        {
            Some(format!(
                "a submission cannot hold the name '{name}': spaces stand between names"
            ))
        } else {
            whales
                .iter()
                .enumerate()
                .find(|(i, w)| whales[..*i].contains(w))
                .map(|(_, w)| format!("{w} is named twice"))
        };
        if let Some(reason) = reason {
            return Err(SubmissionError::Row {
                photo: photo.clone(),
                reason,
            });
        }
        table
            .write_record([photo.as_str(), &whales.join(" ")])
            .map_err(line)?;
    }
    let file = |source| SubmissionError::File {
        path: path.to_owned(),
        source,
    };
    let bytes = table
        .into_inner()
        .map_err(|e| file(std::io::Error::other(e.to_string())))?;
    crate::files::write_atomically(path, &bytes).map_err(file)
}

/// MAP@5 of a submission: the mean over the photos of `truth` (photo to whale) of 1 / rank of the right whale, 0 beyond the fifth.
///
/// # Errors
/// When the file cannot be read or lacks a photo.
pub fn score(path: &Path, truth: &BTreeMap<String, String>) -> Result<f64, SubmissionError> {
    let text = std::fs::read(path).map_err(|source| SubmissionError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut table = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in table.records() {
        let bad = |line, reason: String| SubmissionError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        let record =
            record.map_err(|e| bad(e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let (Some(photo), Some(whales)) = (record.get(0), record.get(1)) else {
            return Err(bad(line, "two columns are needed: Image,Id".into()));
        };
        let whales = whales.split_whitespace().map(str::to_owned).collect();
        if rows.insert(photo.to_owned(), whales).is_some() {
            return Err(bad(line, format!("photo {photo} has two lines")));
        }
    }
    let mut sum = 0.0;
    for (photo, whale) in truth {
        let guesses = rows.get(photo).ok_or_else(|| SubmissionError::Missing {
            path: path.to_owned(),
            photo: photo.clone(),
        })?;
        sum += precision(guesses, whale);
    }
    Ok(sum / truth.len().max(1) as f64)
}

/// 1 / rank of the right whale among the first five guesses, 0 where it is not there.
fn precision(guesses: &[String], whale: &str) -> f64 {
    guesses
        .iter()
        .take(GUESSES)
        .position(|g| g == whale)
        .map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(photo: &str, whales: &str) -> (String, Vec<String>) {
        (photo.into(), whales.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn a_submission_reads_back_and_scores_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        let rows = [
            row("a.jpg", "w_1 new_whale w_2 w_3 w_4"),
            row("b.jpg", "w_1 w_2 w_3 new_whale w_4"),
            row("c.jpg", "w_5"),
        ];
        write(&path, &rows).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("Image,Id\na.jpg,w_1 new_whale w_2 w_3 w_4\n"));
        let truth = [("a.jpg", "w_1"), ("b.jpg", "new_whale"), ("c.jpg", "w_9")]
            .map(|(p, w)| (p.to_owned(), w.to_owned()));
        let score = score(&path, &BTreeMap::from(truth)).unwrap();
        assert!((score - (1.0 + 0.25 + 0.0) / 3.0).abs() < 1e-12, "{score}");
    }

    #[test]
    fn rows_that_the_form_cannot_hold_are_named_and_nothing_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        for (bad, says) in [
            (names(&[]), "0 whales are named"),
            (names(&["a", "b", "c", "d", "e", "f"]), "6 whales are named"),
            (names(&["Old Salt"]), "cannot hold the name 'Old Salt'"),
            (names(&["a", "b", "a"]), "a is named twice"),
        ] {
            let error = write(&path, &[("p.jpg".into(), bad)]).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_photo_without_a_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        write(&path, &[row("a.jpg", "w_1")]).unwrap();
        let truth = BTreeMap::from([("b.jpg".to_owned(), "w_1".to_owned())]);
        let error = score(&path, &truth).unwrap_err().to_string();
        assert!(error.contains("no line for photo b.jpg"), "{error}");
    }
}
