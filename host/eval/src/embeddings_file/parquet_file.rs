//! Embeddings as Parquet: the columns of a table, and `embedding` with lists of float.

use super::columns::{self, Values};
use super::{
    BUNDLE, EmbeddingsFile, EmbeddingsFileError, NEAR_DUPLICATES, RowPhoto, bytes, labels,
    parsed_near_duplicates, sides, unit, write_bytes,
};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use parquet::basic::{Compression, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type};
use std::path::Path;
use std::sync::Arc;

const SCHEMA: &str = "message embeddings {
    required binary image (STRING);
    required binary identity (STRING);
    optional binary encounter (STRING);
    optional binary date (STRING);
    optional int64 x0;
    optional int64 y0;
    optional int64 x1;
    optional int64 y1;
    required group embedding (LIST) { repeated group list { required float element; } }
}";
/// What is said of a file whose parts contradict each other.
const DAMAGED: &str = "the file is damaged";

pub(super) fn write(
    path: &Path,
    metadata: Vec<(&str, String)>,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
) -> Result<(), EmbeddingsFileError> {
    let file = encoded(metadata, photos, dimension, values)
        .map_err(|error| content(path, error.to_string()))?;
    write_bytes(path, &file)
}

fn encoded(
    metadata: Vec<(&str, String)>,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let element = ColumnPath::from(vec!["embedding".into(), "list".into(), "element".into()]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // Each number occurs once.
        .set_column_dictionary_enabled(element, false)
        .set_key_value_metadata(Some(
            metadata
                .into_iter()
                .map(|(key, value)| KeyValue::new(key.to_owned(), value))
                .collect(),
        ))
        .build();
    let mut file = vec![];
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let names: Vec<ByteArray> = photos.iter().map(|photo| text(&photo.name)).collect();
    let identities: Vec<ByteArray> = photos.iter().map(|photo| text(labels(photo)[0])).collect();
    column::<ByteArrayType>(&mut group, &names, None, None)?;
    column::<ByteArrayType>(&mut group, &identities, None, None)?;
    for label in 1..3 {
        let all = || photos.iter().map(|photo| labels(photo)[label]);
        let present: Vec<ByteArray> = all().filter(|l| !l.is_empty()).map(text).collect();
        let levels: Vec<i16> = all().map(|l| i16::from(!l.is_empty())).collect();
        column::<ByteArrayType>(&mut group, &present, Some(&levels), None)?;
    }
    let levels: Vec<i16> = photos
        .iter()
        .map(|photo| i16::from(photo.region.is_some()))
        .collect();
    for side in 0..4 {
        let regions = photos.iter().filter_map(|photo| photo.region);
        let present: Vec<i64> = regions
            .map(|region| i64::from(sides(region)[side]))
            .collect();
        column::<Int64Type>(&mut group, &present, Some(&levels), None)?;
    }
    // Level 0 begins a list, 1 continues it.
    let repetition: Vec<i16> = (0..values.len())
        .map(|i| i16::from(i % dimension != 0))
        .collect();
    let defined = vec![1; values.len()];
    column::<FloatType>(&mut group, values, Some(&defined), Some(&repetition))?;
    group.close()?;
    writer.close()?;
    Ok(file)
}

/// Writes the next column.
fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repetition: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut writer = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("a column too many".into()))?;
    writer
        .typed::<T>()
        .write_batch(values, defined, repetition)?;
    writer.close()
}

/// Reads photos and embeddings.
pub(super) fn read(path: &Path) -> Result<EmbeddingsFile, EmbeddingsFileError> {
    let file = bytes(path)?;
    // The parser panics on some damaged files.
    std::panic::catch_unwind(|| rows(path, file))
        .unwrap_or_else(|_| Err(content(path, DAMAGED.into())))
}

fn rows(path: &Path, file: Vec<u8>) -> Result<EmbeddingsFile, EmbeddingsFileError> {
    let fault = |error: ParquetError| content(path, explained(&error));
    let size = file.len() as u64;
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).map_err(fault)?;
    if !is_within(reader.metadata(), size) {
        return Err(content(path, DAMAGED.into()));
    }
    let metadata = reader.metadata().file_metadata();
    let value_of = |key: &str| {
        let all = metadata.key_value_metadata()?;
        all.iter().find(|entry| entry.key == key)?.value.clone()
    };
    let bundle = value_of(BUNDLE);
    let near_duplicates = parsed_near_duplicates(path, value_of(NEAR_DUPLICATES).as_deref())?;
    let fields = metadata.schema_descr().root_schema().get_fields().to_vec();
    let columns = Columns::of(&fields).map_err(|reason| content(path, reason))?;
    let wanted = Type::group_type_builder("embeddings")
        .with_fields(columns.fields.clone())
        .build()
        .map_err(fault)?;
    let (mut photos, mut values, mut dimension) = (vec![], vec![], 0);
    for (at, row) in reader
        .get_row_iter(Some(wanted))
        .map_err(fault)?
        .enumerate()
    {
        let row_fault = |reason: String| EmbeddingsFileError::Row {
            path: path.to_owned(),
            row: at,
            reason,
        };
        let (photo, numbers) = row
            .map_err(|error| explained(&error))
            .and_then(|row| columns.read(&row))
            .map_err(row_fault)?;
        if at == 0 {
            dimension = numbers.len();
        } else if numbers.len() != dimension {
            return Err(row_fault(format!(
                "{} values, but {dimension} in the first row; all embeddings must have the same dimension",
                numbers.len()
            )));
        }
        values.extend_from_slice(unit(numbers).map_err(row_fault)?.as_slice());
        photos.push(photo);
    }
    if photos.is_empty() {
        return Err(content(path, "no rows".into()));
    }
    Ok(EmbeddingsFile {
        path: path.to_owned(),
        bundle,
        near_duplicates,
        photos: Some(photos),
        dimension,
        values,
    })
}

/// Whether every column lies within the file.
fn is_within(metadata: &ParquetMetaData, size: u64) -> bool {
    metadata.row_groups().iter().all(|group| {
        group.columns().iter().all(|column| {
            let start = column.dictionary_page_offset();
            let start = start.unwrap_or(column.data_page_offset());
            let end = start.checked_add(column.compressed_size());
            let is_inside = start >= 0 && column.compressed_size() >= 0;
            is_inside && end.is_some_and(|end| end as u64 <= size)
        })
    })
}

/// The columns that are read, as positions in `fields`.
struct Columns {
    fields: Vec<Arc<Type>>,
    photo: usize,
    sides: Option<[usize; 4]>,
    values: Values,
}

impl Columns {
    fn of(fields: &[Arc<Type>]) -> Result<Self, String> {
        let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
        let photo = columns::photo(&names)?;
        let sides = columns::sides(&names);
        let values = columns::values(&names)?;
        // The rows have only the columns that are read, in the order of the file.
        let mut used = vec![photo];
        used.extend(sides.into_iter().flatten());
        match &values {
            Values::List(column) => used.push(*column),
            Values::Scalars(columns) => used.extend(columns),
        }
        used.sort_unstable();
        used.dedup();
        for &column in &used {
            let is_list = values == Values::List(column);
            let wanted = if column == photo { "text" } else { "numbers" };
            if !fits(&fields[column], is_list, column == photo) {
                return Err(format!(
                    "column '{}' does not hold {}{wanted}",
                    names[column],
                    if is_list { "lists of " } else { "" }
                ));
            }
        }
        let place = |column: usize| used.partition_point(|&other| other < column);
        Ok(Self {
            fields: used
                .iter()
                .map(|&column| Arc::clone(&fields[column]))
                .collect(),
            photo: place(photo),
            sides: sides.map(|sides| sides.map(place)),
            values: match values {
                Values::List(column) => Values::List(place(column)),
                Values::Scalars(columns) => {
                    Values::Scalars(columns.into_iter().map(place).collect())
                }
            },
        })
    }

    fn read(&self, row: &Row) -> Result<(RowPhoto, Vec<f32>), String> {
        let fields: Vec<(&String, &Field)> = row.get_column_iter().collect();
        let name = match fields[self.photo].1 {
            Field::Str(name) if !name.is_empty() => name.clone(),
            Field::Bytes(name) => String::from_utf8(name.data().to_vec())
                .map_err(|_| "the name of the photo is not UTF-8")?,
            _ => return Err("no name of a photo".into()),
        };
        let region = self
            .sides
            .map(|sides| sides.map(|side| number(fields[side].1).filter(|v| v.is_finite())));
        let region = match region {
            Some([Some(x0), Some(y0), Some(x1), Some(y1)]) => Some(
                PixelBox::covering([x0, y0, x1, y1])
                    .ok_or_else(|| format!("box ({x0}, {y0})-({x1}, {y1}) is empty"))?,
            ),
            _ => None,
        };
        let value = |field: &Field| number(field).map(|value| value as f32);
        let numbers: Option<Vec<f32>> = match &self.values {
            Values::List(column) => match fields[*column].1 {
                Field::ListInternal(list) => list.elements().iter().map(value).collect(),
                _ => None,
            },
            Values::Scalars(columns) => columns.iter().map(|&c| value(fields[c].1)).collect(),
        };
        let numbers = numbers.ok_or_else(|| format!("the embedding of {name} is incomplete"))?;
        Ok((RowPhoto { name, region }, numbers))
    }
}

/// Whether a column can be read as text or numbers, or as lists of numbers.
fn fits(field: &Type, is_list: bool, is_text: bool) -> bool {
    if !is_list {
        return field.is_primitive()
            && (field.get_physical_type() == Physical::BYTE_ARRAY) == is_text;
    }
    // A group of one repeated group of one number.
    let only = |field: &Type| match field {
        Type::GroupType { fields, .. } if fields.len() == 1 => Some(Arc::clone(&fields[0])),
        _ => None,
    };
    only(field).is_some_and(|list| {
        let element = only(&list).unwrap_or(list);
        element.is_primitive()
            && matches!(
                element.get_physical_type(),
                Physical::FLOAT | Physical::DOUBLE
            )
    })
}

fn number(field: &Field) -> Option<f64> {
    match field {
        Field::Float16(value) => Some(value.to_f64()),
        Field::Float(value) => Some(f64::from(*value)),
        Field::Double(value) => Some(*value),
        Field::Int(value) => Some(f64::from(*value)),
        Field::UInt(value) => Some(f64::from(*value)),
        Field::Short(value) => Some(f64::from(*value)),
        Field::UShort(value) => Some(f64::from(*value)),
        Field::Long(value) => Some(*value as f64),
        Field::ULong(value) => Some(*value as f64),
        _ => None,
    }
}

fn explained(error: &ParquetError) -> String {
    let text = error.to_string();
    if text.contains("feature") || text.contains("compression") || text.contains("codec") {
        format!("{text}; save it with compression 'snappy', 'gzip' or none")
    } else {
        text
    }
}

fn content(path: &Path, reason: String) -> EmbeddingsFileError {
    EmbeddingsFileError::Content {
        path: path.to_owned(),
        reason,
    }
}
