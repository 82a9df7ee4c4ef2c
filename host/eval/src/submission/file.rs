//! The file: a CSV `Image,Id` with up to five whales per photo, best first, separated by spaces;
//! `new_whale` means a whale that is not enrolled.

use crate::metrics::map_at_5::{GUESSES, precision};
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_dataset::normalised;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why a submission cannot be written or scored.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the submission.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// The header is not `Image,Id`.
    #[error("{path}:1: header '{found}'; expected Image,Id")]
    Header {
        /// Path of the submission.
        path: PathBuf,
        /// The first line of the file.
        found: String,
    },
    /// A line is invalid.
    #[error("{path}:{line}: {reason}")]
    Line {
        /// Path of the submission.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// A row that the format cannot hold.
    #[error("{path}: {reason}; nothing was written")]
    Row {
        /// Path of the submission.
        path: PathBuf,
        /// What is wrong with the answers.
        reason: String,
    },
}

/// Writes one row per photo, atomically: its name and its whales, best first.
///
/// # Errors
/// If a row has no whale, more than [`GUESSES`], a duplicate or a name with whitespace, if a photo
/// occurs twice, or the file cannot be written.
pub fn write(path: &Path, rows: &[(String, Vec<String>)]) -> Result<(), SubmissionError> {
    let mut photos = BTreeSet::new();
    let invalid = |reason: String| SubmissionError::Row {
        path: path.to_owned(),
        reason,
    };
    let mut table = csv::Writer::from_writer(vec![]);
    let unwritten = |e: csv::Error| invalid(e.to_string());
    table.write_record(["Image", "Id"]).map_err(unwritten)?;
    for (photo, whales) in rows {
        if !photos.insert(photo) {
            return Err(invalid(format!("duplicate photo {photo}")));
        }
        if let Some(spaced) = whales
            .iter()
            .find(|w| w.is_empty() || w.contains(char::is_whitespace))
        {
            return Err(invalid(format!(
                "photo {photo}: whale '{spaced}' contains whitespace, which separates whales in a submission"
            )));
        }
        if let Some(reason) = validate_whales(whales.iter().map(String::as_str)) {
            return Err(invalid(format!("photo {photo}: {reason}")));
        }
        let whales = whales.join(" ");
        table.write_record([photo, &whales]).map_err(unwritten)?;
    }
    let bytes = table.into_inner().map_err(|e| invalid(e.to_string()))?;
    write_atomically(path, &bytes).map_err(|source| SubmissionError::File {
        path: path.to_owned(),
        source,
    })
}

/// The score of a submission.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubmissionScore {
    /// MAP@5 over all photos of the solution; an unanswered photo counts 0.
    pub map_at_5: f64,
    /// Number of photos of the solution.
    pub photos: usize,
    /// Names of the photos that the submission does not answer.
    pub missing: Vec<String>,
}

/// Scores a submission against `solution`, the whale of each photo.
///
/// # Errors
/// If a line is invalid, or of a photo that is not in `solution`.
pub fn score(
    path: &Path,
    solution: &BTreeMap<String, String>,
) -> Result<SubmissionScore, SubmissionError> {
    let rows = lines(path)?;
    let mut sum = 0.0;
    let mut missing: BTreeSet<&String> = solution.keys().collect();
    for (line, photo, whales) in &rows {
        let Some(right) = solution.get(photo) else {
            return Err(SubmissionError::Line {
                path: path.to_owned(),
                line: *line,
                reason: format!("photo {photo} is not in the solution"),
            });
        };
        missing.remove(photo);
        sum += precision(whales.iter().position(|w| w == right));
    }
    Ok(SubmissionScore {
        map_at_5: sum / solution.len().max(1) as f64,
        photos: solution.len(),
        missing: missing.into_iter().cloned().collect(),
    })
}

/// Line number, photo and whales of each line.
fn lines(path: &Path) -> Result<Vec<(u64, String, Vec<String>)>, SubmissionError> {
    let bytes = std::fs::read(path).map_err(|source| SubmissionError::File {
        path: path.to_owned(),
        source,
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let broken = |e: csv::Error| SubmissionError::Line {
        path: path.to_owned(),
        line: e.position().map_or(1, csv::Position::line),
        reason: e.to_string(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let header = reader.headers().map_err(broken)?;
    if !header
        .iter()
        .map(str::to_ascii_lowercase)
        .eq(["image", "id"])
    {
        return Err(SubmissionError::Header {
            path: path.to_owned(),
            found: header.iter().collect::<Vec<_>>().join(","),
        });
    }
    let (mut rows, mut photos) = (vec![], BTreeSet::new());
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let invalid = |reason: String| SubmissionError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        let photo = normalised(record.get(0).unwrap_or_default());
        let whales = normalised(record.get(1).unwrap_or_default());
        let whales: Vec<&str> = whales.split_whitespace().collect();
        if photo.is_empty() {
            return Err(invalid("empty photo name".into()));
        }
        if !photos.insert(photo.clone()) {
            return Err(invalid(format!("duplicate photo {photo}")));
        }
        if let Some(reason) = validate_whales(whales.iter().copied()) {
            return Err(invalid(format!("photo {photo}: {reason}")));
        }
        rows.push((line, photo, whales.into_iter().map(str::to_owned).collect()));
    }
    Ok(rows)
}

/// What is wrong with the whales of a photo.
fn validate_whales<'a>(whales: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for whale in whales {
        count += 1;
        if !seen.insert(whale) {
            return Some(format!("duplicate whale {whale}"));
        }
    }
    match count {
        0 => Some("no whale".into()),
        1..=GUESSES => None,
        more => Some(format!("{more} whales; expected at most {GUESSES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solution() -> BTreeMap<String, String> {
        [("a.jpg", "w_1"), ("b.jpg", "new_whale"), ("c.jpg", "w_3")]
            .map(|(photo, whale)| (photo.to_owned(), whale.to_owned()))
            .into()
    }

    fn row(photo: &str, whales: &[&str]) -> (String, Vec<String>) {
        (photo.into(), whales.iter().map(|w| (*w).into()).collect())
    }

    fn scored(text: &str) -> Result<SubmissionScore, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        std::fs::write(&path, text).unwrap();
        let folder = format!("{}/", dir.path().display());
        score(&path, &solution()).map_err(|e| e.to_string().replace(&folder, ""))
    }

    #[test]
    fn a_written_file_is_scored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        let rows = [
            row("a.jpg", &["w_1", "new_whale"]),
            row("b.jpg", &["w_1", "new_whale", "w_2"]),
            row("c.jpg", &["w_1", "w_2"]),
        ];
        write(&path, &rows).unwrap();
        let read: Vec<_> = lines(&path)
            .unwrap()
            .into_iter()
            .map(|(_, photo, whales)| (photo, whales))
            .collect();
        assert_eq!(read, rows);
        let found = score(&path, &solution()).unwrap();
        assert!((found.map_at_5 - (1.0 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
        assert_eq!((found.photos, found.missing), (3, vec![]));
    }

    #[test]
    fn an_unanswered_photo_scores_0_and_is_named() {
        let found = scored("Image,Id\na.jpg,w_1\n").unwrap();
        assert!((found.map_at_5 - 1.0 / 3.0).abs() < 1e-12, "{found:?}");
        assert_eq!(found.photos, 3);
        assert_eq!(found.missing, ["b.jpg", "c.jpg"]);
        let none = scored("Image,Id\n").unwrap();
        assert_eq!((none.map_at_5, none.missing.len()), (0.0, 3));
    }

    #[test]
    fn a_file_of_the_contest_is_read() {
        let found = scored(
            "\u{feff}Image,Id\r\nc.jpg,w_9 w_8 w_7 w_6 w_3\r\na.jpg,w_1\r\nb.jpg, new_whale\r\n",
        );
        assert!((found.unwrap().map_at_5 - (0.2 + 1.0 + 1.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn errors_name_their_line() {
        for (text, message) in [
            (
                "photo,whale\na.jpg,w_1\n",
                "s.csv:1: header 'photo,whale'; expected Image,Id",
            ),
            (
                "Image,Id\na.jpg,w_1\nx.jpg,w_1\n",
                "s.csv:3: photo x.jpg is not in the solution",
            ),
            ("Image,Id\na.jpg,\n", "s.csv:2: photo a.jpg: no whale"),
            (
                "Image,Id\na.jpg,1 2 3 4 5 6\n",
                "s.csv:2: photo a.jpg: 6 whales; expected at most 5",
            ),
            (
                "Image,Id\na.jpg,w_1 w_2 w_1\n",
                "s.csv:2: photo a.jpg: duplicate whale w_1",
            ),
            (
                "Image,Id\na.jpg,w_1\na.jpg,w_1\n",
                "s.csv:3: duplicate photo a.jpg",
            ),
            ("Image,Id\n,w_1\n", "s.csv:2: empty photo name"),
        ] {
            assert_eq!(scored(text), Err(message.to_owned()));
        }
        assert!(
            scored("Image,Id\na.jpg,w_1,w_2\n")
                .unwrap_err()
                .contains("s.csv:2")
        );
    }

    #[test]
    fn rows_that_the_format_cannot_hold_are_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        for rows in [
            vec![row("a.jpg", &["Old Timer"])],
            vec![row("a.jpg", &[])],
            vec![row("a.jpg", &["w", "w"])],
            vec![row("a.jpg", &["w"]), row("a.jpg", &["v"])],
        ] {
            assert!(matches!(
                write(&path, &rows),
                Err(SubmissionError::Row { .. })
            ));
            assert!(!path.exists());
        }
    }
}
