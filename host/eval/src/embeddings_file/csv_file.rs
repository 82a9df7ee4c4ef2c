//! Embeddings as CSV: one line per photo with the columns of a table, and one per value.

use super::columns::{self, Values};
use super::{
    EmbeddingsFile, EmbeddingsFileError, RowPhoto, bytes, labels, sides, unit, write_bytes,
};
use csv::StringRecord;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use std::path::Path;

/// Writes photos with their labels and embeddings; without values, the photos alone.
pub(super) fn write(
    path: &Path,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
) -> Result<(), EmbeddingsFileError> {
    let failed = |error: csv::Error| EmbeddingsFileError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut writer = csv::Writer::from_writer(vec![]);
    let header = [
        "image",
        "identity",
        "encounter",
        "date",
        "x0",
        "y0",
        "x1",
        "y1",
    ];
    let header = header.into_iter().map(str::to_owned);
    writer
        .write_record(header.chain((0..dimension).map(|i| format!("e{i}"))))
        .map_err(failed)?;
    for (i, photo) in photos.iter().enumerate() {
        let region = photo.region.map(sides);
        let region = (0..4).map(|side| region.map_or(String::new(), |r| r[side].to_string()));
        let row = values.get(i * dimension..(i + 1) * dimension);
        let row = row.unwrap_or_default().iter().map(f32::to_string);
        let fields = std::iter::once(photo.name.clone())
            .chain(labels(photo).map(str::to_owned))
            .chain(region)
            .chain(row);
        writer.write_record(fields).map_err(failed)?;
    }
    let content = writer.into_inner().map_err(|e| EmbeddingsFileError::File {
        path: path.to_owned(),
        source: e.into_error(),
    })?;
    write_bytes(path, &content)
}

/// Reads photos and embeddings.
pub(super) fn read(path: &Path) -> Result<EmbeddingsFile, EmbeddingsFileError> {
    let content = bytes(path)?;
    let mut table = Table::of(path, &content)?;
    let columns = columns::values(&table.names).map_err(|reason| table.fault(1, reason))?;
    let (mut photos, mut values, mut dimension) = (vec![], vec![], 0);
    while let Some((line, record)) = table.next()? {
        let fault = |reason: String| EmbeddingsFileError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        photos.push(table.photo(&record).map_err(fault)?);
        let row = numbers(&columns, &record, &table.names).map_err(fault)?;
        if photos.len() == 1 {
            dimension = row.len();
        } else if row.len() != dimension {
            return Err(fault(format!(
                "{} values, but {dimension} in the first line; all embeddings must have the same dimension",
                row.len()
            )));
        }
        values.extend_from_slice(unit(row).map_err(fault)?.as_slice());
    }
    if photos.is_empty() {
        return Err(table.fault(1, "no embeddings below the header".into()));
    }
    Ok(EmbeddingsFile {
        path: path.to_owned(),
        bundle: None,
        near_duplicates: None,
        photos: Some(photos),
        dimension,
        values,
    })
}

/// Reads the photos of a file without embeddings.
pub(super) fn photos(path: &Path) -> Result<Vec<RowPhoto>, EmbeddingsFileError> {
    let content = bytes(path)?;
    let mut table = Table::of(path, &content)?;
    let mut photos = vec![];
    while let Some((line, record)) = table.next()? {
        let photo = table.photo(&record);
        photos.push(photo.map_err(|reason| table.fault(line, reason))?);
    }
    Ok(photos)
}

struct Table<'a> {
    path: &'a Path,
    reader: csv::Reader<&'a [u8]>,
    names: Vec<String>,
    photo: usize,
    sides: Option<[usize; 4]>,
}

impl<'a> Table<'a> {
    fn of(path: &'a Path, content: &'a [u8]) -> Result<Self, EmbeddingsFileError> {
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(content);
        let header = reader.headers().map_err(|e| failure(path, &e))?;
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let photo = columns::photo(&names).map_err(|reason| EmbeddingsFileError::Line {
            path: path.to_owned(),
            line: 1,
            reason,
        })?;
        Ok(Self {
            path,
            reader,
            photo,
            sides: columns::sides(&names),
            names,
        })
    }

    /// The next record and its line.
    fn next(&mut self) -> Result<Option<(u64, StringRecord)>, EmbeddingsFileError> {
        let mut record = StringRecord::new();
        let more = self.reader.read_record(&mut record);
        let more = more.map_err(|e| failure(self.path, &e))?;
        let line = record.position().map_or(1, csv::Position::line);
        Ok(more.then_some((line, record)))
    }

    fn photo(&self, record: &StringRecord) -> Result<RowPhoto, String> {
        let name = &record[self.photo];
        if name.is_empty() {
            return Err("no name of a photo".into());
        }
        let region = match self.sides.map(|sides| sides.map(|side| &record[side])) {
            Some(sides) if sides.iter().any(|side| !side.is_empty()) => Some(region(sides)?),
            _ => None,
        };
        Ok(RowPhoto {
            name: name.to_owned(),
            region,
        })
    }

    fn fault(&self, line: u64, reason: String) -> EmbeddingsFileError {
        EmbeddingsFileError::Line {
            path: self.path.to_owned(),
            line,
            reason,
        }
    }
}

fn failure(path: &Path, error: &csv::Error) -> EmbeddingsFileError {
    EmbeddingsFileError::Line {
        path: path.to_owned(),
        line: error.position().map_or(1, csv::Position::line),
        reason: error.to_string(),
    }
}

/// The box of four columns.
fn region(sides: [&str; 4]) -> Result<PixelBox, String> {
    let mut numbers = [0.0; 4];
    for (number, side) in numbers.iter_mut().zip(sides) {
        *number = side
            .parse()
            .map_err(|_| format!("box side '{side}' is not a pixel number"))?;
    }
    PixelBox::covering(numbers).ok_or_else(|| format!("box {} is empty", sides.join(",")))
}

/// The values of a record.
fn numbers(columns: &Values, record: &StringRecord, names: &[String]) -> Result<Vec<f32>, String> {
    let number = |name: &str, text: &str| {
        text.parse::<f32>()
            .ok()
            .filter(|value| value.is_finite())
            .ok_or_else(|| format!("{name} '{text}' is not a finite number"))
    };
    match columns {
        Values::Scalars(columns) => columns
            .iter()
            .map(|&column| number(&names[column], &record[column]))
            .collect(),
        Values::List(column) => record[*column]
            .trim_matches(['[', ']', '(', ')', ' '])
            .split([',', ';', ' ', '\n', '\r', '\t'])
            .filter(|text| !text.is_empty())
            .map(|text| number(&names[*column], text))
            .collect(),
    }
}
