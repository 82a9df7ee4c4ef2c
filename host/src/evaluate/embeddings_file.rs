//! Embeddings kept in a file, so that photos are embedded once: safetensors with `embeddings` `[N, D] f32` and, in its metadata,
//! the photos' names as a JSON list (`photos`) and the id of the bundle that made them (`bundle`, optional).

use crate::network::weights::{self, Values, Weights};
use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const TENSOR: &str = "embeddings";
const PHOTOS: &str = "photos";
const BUNDLE: &str = "bundle";

/// Writes `[N, D] f32` row-major `numbers`, a row for each of `photos`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    bundle: &str,
    photos: &[&str],
    dimension: usize,
    numbers: &[f32],
) -> anyhow::Result<()> {
    let values = Values {
        shape: vec![photos.len(), dimension],
        data: numbers.to_vec(),
    };
    let metadata = BTreeMap::from([
        (PHOTOS.to_owned(), serde_json::to_string(photos)?),
        (BUNDLE.to_owned(), bundle.to_owned()),
    ]);
    weights::write(
        path,
        &Weights::from([(TENSOR.to_owned(), values)]),
        &metadata,
    )?;
    Ok(())
}

/// The rows of `photos`, in their order, and their dimension.
///
/// # Errors
/// When the file is no such file, was made by another bundle, or lacks a photo.
pub fn read(path: &Path, bundle: &str, photos: &[&str]) -> anyhow::Result<(usize, Vec<f32>)> {
    let (mut tensors, metadata) = weights::read(path)?;
    let named = metadata
        .get(PHOTOS)
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let (Some(values), Some(named)) = (tensors.remove(TENSOR), named) else {
        bail!(
            "{} holds no embeddings: a tensor '{TENSOR}' and, in the metadata, the photos' names under '{PHOTOS}' are needed",
            path.display()
        );
    };
    if let Some(other) = metadata.get(BUNDLE).filter(|other| *other != bundle) {
        bail!(
            "{} was made by bundle {other}, and this one is {bundle}: name another file or delete it",
            path.display()
        );
    }
    let [rows, dimension] = values.shape[..] else {
        bail!(
            "{}: '{TENSOR}' has the shape {:?}; [photos, numbers] is needed",
            path.display(),
            values.shape
        );
    };
    ensure!(
        rows == named.len(),
        "{} has {rows} embeddings and {} names of photos",
        path.display(),
        named.len()
    );
    let at: HashMap<&str, usize> = named
        .iter()
        .enumerate()
        .map(|(i, n)| (n.as_str(), i))
        .collect();
    let mut numbers = Vec::with_capacity(photos.len() * dimension);
    for photo in photos {
        let row = at.get(photo).with_context(|| {
            format!(
                "{} has no embedding of {photo}: name another file or delete it",
                path.display()
            )
        })?;
        numbers.extend_from_slice(&values.data[row * dimension..(row + 1) * dimension]);
    }
    Ok((dimension, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.safetensors");
        write(
            &path,
            "B1",
            &["a", "b", "c"],
            2,
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        )
        .unwrap();
        assert_eq!(
            read(&path, "B1", &["c", "a"]).unwrap(),
            (2, vec![5.0, 6.0, 1.0, 2.0])
        );
        let error = |bundle, photo| read(&path, bundle, &[photo]).unwrap_err().to_string();
        assert!(error("B2", "a").contains("was made by bundle B1"));
        assert!(error("B1", "d").contains("no embedding of d"));
    }
}
