//! Tables of photos: the bytes of a CSV file to one [`TableLine`] for each photo.

mod columns;
mod text;

use crate::boxes::Numbers;
use crate::{DatasetError, normalised, table_split};
use columns::Columns;
use csv::StringRecord;
use flukewatch_common::pixel_box::PixelBox;
use std::path::Path;
use text::Lines;

/// A line of a table that describes a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct TableLine {
    /// Line number as an editor counts, from 1.
    pub line: u64,
    /// Name of the photo as written, in Unicode's composed form.
    pub image: String,
    /// Name of the whale as written, in Unicode's composed form.
    pub identity: String,
    /// Box of the fluke, on the picture of this `size`.
    pub region: Option<PixelBox>,
    /// Width and height of the picture that the box was drawn on.
    pub size: Option<(u32, u32)>,
    /// Date of capture as written.
    pub date: Option<String>,
    /// Name of the encounter.
    pub encounter: Option<String>,
    /// The split as written; `None` without such a column.
    pub split: Option<String>,
}

/// Parses a table. `path` is only named in errors. With `split`, lines of other splits are left
/// out.
///
/// # Errors
/// If the bytes are not a table of photos, or a line is malformed.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    split: Option<&str>,
) -> Result<Vec<TableLine>, DatasetError> {
    let text = text::decode(path, bytes)?;
    let (columns, delimiter) = columns::find(path, &text)?;
    columns.check_split(path, split)?;
    let numbers = Numbers {
        decimal_comma: delimiter != b',',
    };
    let mut reader = text.reader(delimiter);
    let mut lines = Lines::new(text.rows());
    let (mut all, mut splits) = (vec![], vec![]);
    let mut record = StringRecord::new();
    let fault = |line: u64, reason: String| DatasetError::Line {
        path: path.to_owned(),
        line,
        reason,
    };
    // Read first, so that the reader stands behind it.
    reader
        .headers()
        .map_err(|e| fault(text.first_line(), e.to_string()))?;
    loop {
        let start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let more = reader.read_record(&mut record);
        let line = text.first_line() + lines.at(start);
        let fault = |reason| fault(line, reason);
        if !more.map_err(|e| fault(e.to_string()))? {
            break;
        }
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        if end >= text.rows().len() && text.quote_is_open(start) {
            return Err(fault("a quote (\") is opened and never closed".into()));
        }
        if record.iter().all(str::is_empty) {
            continue;
        }
        columns.check_length(&record).map_err(fault)?;
        if let (Some(wanted), Some(found)) = (split, columns.split(&record))
            && !table_split::is_same(found, wanted)
        {
            splits.push(found.to_owned());
            continue;
        }
        all.push(table_line(line, &record, &columns, &numbers).map_err(fault)?);
    }
    match split {
        Some(wanted) if all.is_empty() && !splits.is_empty() => {
            splits.sort();
            splits.dedup();
            Err(DatasetError::NoSplit {
                path: path.to_owned(),
                split: wanted.to_owned(),
                found: splits.join(", "),
            })
        }
        _ => Ok(all),
    }
}

fn table_line(
    line: u64,
    record: &StringRecord,
    columns: &Columns,
    numbers: &Numbers,
) -> Result<TableLine, String> {
    let image = normalised(columns.image(record));
    if image.is_empty() {
        return Err("empty image name".into());
    }
    let identity = normalised(columns.identity(record));
    if identity.is_empty() {
        return Err(format!(
            "photo {image} has no identity; use {} for an unknown whale",
            crate::NEW_WHALE
        ));
    }
    for (column, value) in [("image", &image), ("identity", &identity)] {
        if value.contains(['\n', '\r']) {
            return Err(format!(
                "the {column} contains a line break; is a quote (\") missing or too many?"
            ));
        }
    }
    let region = columns.region(record, numbers)?;
    Ok(TableLine {
        line,
        size: match region {
            Some(_) => columns.size(record, numbers)?,
            None => None,
        },
        region,
        date: columns.date(record).map(str::to_owned),
        encounter: columns.encounter(record).map(normalised),
        split: columns.split(record).map(str::to_owned),
        image,
        identity,
    })
}

#[cfg(test)]
mod tests;
