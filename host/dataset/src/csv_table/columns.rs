//! The columns of a table.

use super::text::{Lines, Text};
use crate::boxes::{self, Numbers};
use crate::{DatasetError, unnamed};
use csv::StringRecord;
use flukewatch_common::pixel_box::PixelBox;
use std::path::Path;

/// Positions of the columns.
#[derive(Debug)]
pub(super) struct Columns {
    count: usize,
    image: usize,
    identity: usize,
    corners: Option<[usize; 4]>,
    list: Option<usize>,
    size: Option<[usize; 2]>,
    date: Option<usize>,
    encounter: Option<usize>,
    split: Option<usize>,
    header: String,
}

/// Finds the columns in the header, and the delimiter: a comma, or a semicolon or tabulator where
/// the header has its columns only with these.
///
/// # Errors
/// If a required column is missing.
pub(super) fn find(path: &Path, text: &Text<'_>) -> Result<(Columns, u8), DatasetError> {
    let tried = text.delimiter.map_or(vec![b',', b';', b'\t'], |d| vec![d]);
    let mut missing: Option<(usize, DatasetError)> = None;
    for delimiter in tried {
        let mut reader = text.reader(delimiter);
        let start = reader.position().byte();
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let line = text.first_line() + Lines::new(text.rows()).at(start);
        let header = reader.headers().map_err(|e| DatasetError::Line {
            path: path.to_owned(),
            line,
            reason: e.to_string(),
        })?;
        match Columns::of(path, line, header) {
            Ok(columns) => return Ok((columns, delimiter)),
            Err(error) if missing.as_ref().is_none_or(|(n, _)| *n < header.len()) => {
                missing = Some((header.len(), error));
            }
            Err(_) => {}
        }
    }
    let (_, error) = missing.expect("a delimiter was tried");
    Err(error)
}

impl Columns {
    fn of(path: &Path, line: u64, header: &StringRecord) -> Result<Self, DatasetError> {
        let found = header.iter().collect::<Vec<_>>().join(",");
        // The first of the names that the header has.
        let at = |names: &[&str]| {
            names
                .iter()
                .find_map(|n| header.iter().position(|h| h.eq_ignore_ascii_case(n)))
        };
        let need = |column: &'static str, names: &[&str]| {
            at(names).ok_or_else(|| DatasetError::Column {
                path: path.to_owned(),
                line,
                column,
                found: found.clone(),
            })
        };
        let columns = Self {
            count: header.len(),
            image: need("image", &["image", "path"])?,
            identity: need("identity", &["identity", "individual_id", "id"])?,
            corners: match at(&["x0"]) {
                Some(x0) => Some([
                    x0,
                    need("y0", &["y0"])?,
                    need("x1", &["x1"])?,
                    need("y1", &["y1"])?,
                ]),
                None => None,
            },
            list: at(&["bbox"]),
            size: at(&["width"]).zip(at(&["height"])).map(|(w, h)| [w, h]),
            date: at(&["date"]),
            encounter: at(&["encounter"]),
            split: at(&["split", "original_split"]),
            header: found,
        };
        let single = [columns.list, columns.date, columns.encounter, columns.split];
        let used = [Some(columns.image), Some(columns.identity)].into_iter();
        let used = used.chain(single).flatten();
        let used = used.chain(columns.corners.into_iter().flatten());
        for column in used.chain(columns.size.into_iter().flatten()) {
            let name = &header[column];
            if header
                .iter()
                .filter(|h| h.eq_ignore_ascii_case(name))
                .count()
                > 1
            {
                return Err(DatasetError::Line {
                    path: path.to_owned(),
                    line,
                    reason: format!("column '{name}' occurs twice; rename one"),
                });
            }
        }
        Ok(columns)
    }

    pub(super) fn check_split(&self, path: &Path, split: Option<&str>) -> Result<(), DatasetError> {
        match (split, self.split) {
            (Some(split), None) => Err(DatasetError::NoSplit {
                path: path.to_owned(),
                split: split.to_owned(),
                found: format!("no column 'split' in the header '{}'", self.header),
            }),
            _ => Ok(()),
        }
    }

    /// Fields beyond the header must be empty.
    pub(super) fn check_length(&self, record: &StringRecord) -> Result<(), String> {
        let fields = record.len();
        if fields < self.count || record.iter().skip(self.count).any(|f| !f.is_empty()) {
            return Err(format!(
                "{fields} fields, but the header has {}; a field that contains the delimiter needs quotes",
                self.count
            ));
        }
        Ok(())
    }

    pub(super) fn image<'r>(&self, record: &'r StringRecord) -> &'r str {
        &record[self.image]
    }

    pub(super) fn identity<'r>(&self, record: &'r StringRecord) -> &'r str {
        &record[self.identity]
    }

    pub(super) fn split<'r>(&self, record: &'r StringRecord) -> Option<&'r str> {
        Some(&record[self.split?])
    }

    /// The corners, or else the list.
    pub(super) fn region(
        &self,
        record: &StringRecord,
        numbers: &Numbers,
    ) -> Result<Option<PixelBox>, String> {
        if let Some(corners) = self.corners {
            let text = corners.map(|i| &record[i]);
            if !text.iter().all(|t| unnamed::is_missing(t)) {
                return boxes::corners(text, numbers).map(Some);
            }
        }
        match self.list.map(|i| &record[i]) {
            Some(text) if !unnamed::is_missing(text) => boxes::list(text, numbers).map(Some),
            _ => Ok(None),
        }
    }

    /// Width and height of the picture.
    pub(super) fn size(
        &self,
        record: &StringRecord,
        numbers: &Numbers,
    ) -> Result<Option<(u32, u32)>, String> {
        let Some([width, height]) = self.size.map(|columns| columns.map(|i| &record[i])) else {
            return Ok(None);
        };
        if unnamed::is_missing(width) && unnamed::is_missing(height) {
            return Ok(None);
        }
        Ok(Some((
            numbers.size("width", width)?,
            numbers.size("height", height)?,
        )))
    }

    pub(super) fn date<'r>(&self, record: &'r StringRecord) -> Option<&'r str> {
        present(&record[self.date?])
    }

    pub(super) fn encounter<'r>(&self, record: &'r StringRecord) -> Option<&'r str> {
        present(&record[self.encounter?])
    }
}

fn present(text: &str) -> Option<&str> {
    (!unnamed::is_missing(text)).then_some(text)
}
