//! Embeddings as safetensors: a tensor `embeddings` `[N, D] f32`; in the metadata the names of the
//! photos and their boxes as JSON lists (`photos`, `boxes`), the id of the bundle (`bundle`), and the
//! near-duplicates as a JSON object from each to the first of its group (`near_duplicates`).

use super::{
    BUNDLE, EmbeddingsFile, EmbeddingsFileError, NEAR_DUPLICATES, RowPhoto, normalise_rows,
    parsed_near_duplicates,
};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_network::weights::{self, Values, Weights};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

const TENSOR: &str = "embeddings";
const PHOTOS: &str = "photos";
const BOXES: &str = "boxes";

pub(super) fn write(
    path: &Path,
    metadata: Vec<(&str, String)>,
    photos: &[LabelledPhoto],
    dimension: usize,
    values: &[f32],
) -> Result<(), EmbeddingsFileError> {
    let tensor = Values {
        shape: vec![photos.len(), dimension],
        data: values.to_vec(),
    };
    let names: Vec<&str> = photos.iter().map(|photo| photo.name.as_str()).collect();
    let boxes: Vec<Option<PixelBox>> = photos.iter().map(|photo| photo.region).collect();
    let lists = [
        (PHOTOS, serde_json::json!(names).to_string()),
        (BOXES, serde_json::json!(boxes).to_string()),
    ];
    let metadata = lists
        .into_iter()
        .chain(metadata)
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let tensors = Weights::from([(TENSOR.to_owned(), tensor)]);
    weights::write(path, &tensors, &metadata).map_err(|e| content(path, e.to_string()))
}

pub(super) fn read(path: &Path) -> Result<EmbeddingsFile, EmbeddingsFileError> {
    let (mut tensors, mut metadata) =
        weights::read(path).map_err(|e| content(path, e.to_string()))?;
    let (Some(values), Some(names)) = (
        tensors.remove(TENSOR),
        list::<String>(path, &metadata, PHOTOS)?,
    ) else {
        return Err(content(
            path,
            format!(
                "no embeddings: expected a tensor '{TENSOR}' and, in the metadata, the names of the photos as a JSON list '{PHOTOS}'"
            ),
        ));
    };
    let [rows, dimension] = values.shape[..] else {
        return Err(content(
            path,
            format!(
                "'{TENSOR}' has shape {:?}; expected [photos, dimension]",
                values.shape
            ),
        ));
    };
    let boxes = list::<Option<PixelBox>>(path, &metadata, BOXES)?;
    let boxes = boxes.unwrap_or_else(|| vec![None; names.len()]);
    if dimension == 0 || rows != names.len() || rows != boxes.len() {
        return Err(content(
            path,
            format!(
                "'{TENSOR}' has shape [{rows}, {dimension}], but there are {} names of photos and {} boxes",
                names.len(),
                boxes.len()
            ),
        ));
    }
    let mut data = values.data;
    normalise_rows(path, dimension, &mut data)?;
    let photo = |(name, region)| RowPhoto { name, region };
    Ok(EmbeddingsFile {
        path: path.to_owned(),
        near_duplicates: parsed_near_duplicates(
            path,
            metadata.get(NEAR_DUPLICATES).map(String::as_str),
        )?,
        bundle: metadata.remove(BUNDLE),
        photos: Some(names.into_iter().zip(boxes).map(photo).collect()),
        dimension,
        values: data,
    })
}

/// A JSON list of the metadata, if there is one.
fn list<T: DeserializeOwned>(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<Option<Vec<T>>, EmbeddingsFileError> {
    metadata
        .get(key)
        .map(|text| serde_json::from_str(text))
        .transpose()
        .map_err(|e| {
            content(
                path,
                format!("'{key}' in the metadata is not such a list: {e}"),
            )
        })
}

/// An error; one that names the file already is not given its name again.
fn content(path: &Path, reason: String) -> EmbeddingsFileError {
    let prefix = format!("{}: ", path.display());
    EmbeddingsFileError::Content {
        path: path.to_owned(),
        reason: reason.strip_prefix(&prefix).unwrap_or(&reason).to_owned(),
    }
}
