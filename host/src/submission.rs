//! Submissions to the humpback contests: a CSV `Image,Id` with up to five whales for each photo, best first, separated by spaces;
//! `new_whale` stands among them for a whale that is not enrolled.

use crate::files::write_atomically;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most whales of a photo.
pub const MOST: usize = 5;

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
    /// Another first line.
    #[error("{path}: the first line is '{found}'; a submission begins with Image,Id")]
    Header {
        /// Which.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A line that cannot be scored.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// Photos without a line.
    #[error("{path} says nothing of {count} photos that have an answer, the first of them {first}")]
    Missing {
        /// Which.
        path: PathBuf,
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// A row that the form cannot hold.
    #[error("{path}: {reason}; nothing was written")]
    Row {
        /// Where it should go.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Writes a row for each photo: its name and its whales, best first. The file is whole or not there.
///
/// # Errors
/// When a row has no whale, more than [`MOST`], the same one twice or one with a space in its name, a photo comes twice, or the
/// file cannot be written.
pub fn write(path: &Path, rows: &[(String, Vec<String>)]) -> Result<(), SubmissionError> {
    let mut photos = BTreeSet::new();
    let refused = |reason: String| SubmissionError::Row {
        path: path.to_owned(),
        reason,
    };
    let mut table = csv::Writer::from_writer(vec![]);
    let unwritten = |e: csv::Error| refused(e.to_string());
    table.write_record(["Image", "Id"]).map_err(unwritten)?;
    for (photo, whales) in rows {
        if !photos.insert(photo) {
            return Err(refused(format!("photo {photo} comes twice")));
        }
        if let Some(spaced) = whales
            .iter()
            .find(|w| w.is_empty() || w.contains(char::is_whitespace))
        {
            return Err(refused(format!(
                "a submission separates whales by spaces, so that '{spaced}' (photo {photo}) cannot stand in it"
            )));
        }
        if let Some(reason) = unfit(whales.iter().map(String::as_str)) {
            return Err(refused(format!("photo {photo} {reason}")));
        }
        let whales = whales.join(" ");
        table.write_record([photo, &whales]).map_err(unwritten)?;
    }
    let bytes = table.into_inner().map_err(|e| refused(e.to_string()))?;
    write_atomically(path, &bytes).map_err(|source| SubmissionError::File {
        path: path.to_owned(),
        source,
    })
}

/// Reads the photos and their whales.
///
/// # Errors
/// Names the first line that is malformed.
pub fn read(path: &Path) -> Result<Vec<(String, Vec<String>)>, SubmissionError> {
    let rows = lines(path)?;
    Ok(rows
        .into_iter()
        .map(|(_, photo, whales)| (photo, whales))
        .collect())
}

/// MAP@5 against the whale of each photo: the mean of 1 / the place of the right whale, 0 where it is not among the five.
///
/// # Errors
/// Names a line that is malformed, comes twice or is of a photo that `truth` does not hold; and says how many photos of `truth`
/// have no line.
pub fn score(path: &Path, truth: &BTreeMap<String, String>) -> Result<f64, SubmissionError> {
    let rows = lines(path)?;
    let mut sum = 0.0;
    let mut left: BTreeSet<&String> = truth.keys().collect();
    for (line, photo, whales) in &rows {
        let Some(right) = truth.get(photo) else {
            return Err(SubmissionError::Line {
                path: path.to_owned(),
                line: *line,
                reason: format!("photo {photo} is not in the table of answers"),
            });
        };
        left.remove(photo);
        let place = whales.iter().position(|w| w == right);
        sum += place.map_or(0.0, |p| 1.0 / (p + 1) as f64);
    }
    match left.first() {
        Some(first) => Err(SubmissionError::Missing {
            path: path.to_owned(),
            count: left.len(),
            first: (*first).clone(),
        }),
        None => Ok(sum / truth.len().max(1) as f64),
    }
}

/// Each line with its number, each photo once.
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
        let wrong = |reason: String| SubmissionError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        let photo = record.get(0).unwrap_or_default().to_owned();
        let whales: Vec<&str> = record
            .get(1)
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        if photo.is_empty() {
            return Err(wrong("no photo is named".into()));
        }
        if !photos.insert(photo.clone()) {
            return Err(wrong(format!("photo {photo} comes twice")));
        }
        if let Some(reason) = unfit(whales.iter().copied()) {
            return Err(wrong(format!("photo {photo} {reason}")));
        }
        rows.push((line, photo, whales.into_iter().map(str::to_owned).collect()));
    }
    Ok(rows)
}

/// What is wrong with a photo's whales, if anything is.
fn unfit<'a>(whales: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for whale in whales {
        count += 1;
        if !seen.insert(whale) {
            return Some(format!("has {whale} twice"));
        }
    }
    match count {
        0 => Some("has no whale".into()),
        1..=MOST => None,
        more => Some(format!("has {more} whales; {MOST} are the most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> BTreeMap<String, String> {
        [("a.jpg", "w_1"), ("b.jpg", "new_whale"), ("c.jpg", "w_3")]
            .map(|(photo, whale)| (photo.to_owned(), whale.to_owned()))
            .into()
    }

    fn row(photo: &str, whales: &[&str]) -> (String, Vec<String>) {
        (photo.into(), whales.iter().map(|w| (*w).into()).collect())
    }

    fn scored(text: &str) -> Result<f64, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        std::fs::write(&path, text).unwrap();
        let folder = format!("{}/", dir.path().display());
        score(&path, &truth()).map_err(|e| e.to_string().replace(&folder, ""))
    }

    #[test]
    fn what_is_written_is_scored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.csv");
        let rows = [
            row("a.jpg", &["w_1", "new_whale"]),
            row("b.jpg", &["w_1", "new_whale", "w_2"]),
            row("c.jpg", &["w_1", "w_2"]),
        ];
        write(&path, &rows).unwrap();
        assert_eq!(read(&path).unwrap(), rows);
        assert!((score(&path, &truth()).unwrap() - (1.0 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_contests_own_form_is_read() {
        let found = scored(
            "\u{feff}Image,Id\r\nc.jpg,w_9 w_8 w_7 w_6 w_3\r\na.jpg,w_1\r\nb.jpg, new_whale\r\n",
        );
        assert!((found.unwrap() - (0.2 + 1.0 + 1.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for (text, message) in [
            (
                "photo,whale\na.jpg,w_1\n",
                "s.csv: the first line is 'photo,whale'; a submission begins with Image,Id",
            ),
            (
                "Image,Id\na.jpg,w_1\nx.jpg,w_1\n",
                "s.csv, line 3: photo x.jpg is not in the table of answers",
            ),
            (
                "Image,Id\na.jpg,\n",
                "s.csv, line 2: photo a.jpg has no whale",
            ),
            (
                "Image,Id\na.jpg,1 2 3 4 5 6\n",
                "s.csv, line 2: photo a.jpg has 6 whales; 5 are the most",
            ),
            (
                "Image,Id\na.jpg,w_1 w_2 w_1\n",
                "s.csv, line 2: photo a.jpg has w_1 twice",
            ),
            (
                "Image,Id\na.jpg,w_1\na.jpg,w_1\n",
                "s.csv, line 3: photo a.jpg comes twice",
            ),
            ("Image,Id\n,w_1\n", "s.csv, line 2: no photo is named"),
            (
                "Image,Id\na.jpg,w_1\n",
                "s.csv says nothing of 2 photos that have an answer, the first of them b.jpg",
            ),
        ] {
            assert_eq!(scored(text), Err(message.to_owned()));
        }
        assert!(
            scored("Image,Id\na.jpg,w_1,w_2\n")
                .unwrap_err()
                .contains("line 2")
        );
    }

    #[test]
    fn what_the_form_cannot_hold_is_not_written() {
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
