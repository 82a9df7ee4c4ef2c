//! A cache of embeddings: safetensors with `embeddings` `[N, D] f32` and, in its metadata, the
//! names of the photos as a JSON list (`photos`), the id of the bundle (`bundle`, optional) and the
//! near-duplicates among the photos as a JSON object from each to the first of its group
//! (`near_duplicates`, optional).

use anyhow::{Context, bail, ensure};
use flukewatch_network::weights::{self, Values, Weights};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const TENSOR: &str = "embeddings";
const PHOTOS: &str = "photos";
const BUNDLE: &str = "bundle";
const NEAR_DUPLICATES: &str = "near_duplicates";

/// What a cache holds of the photos.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CachedEmbeddings {
    /// Number of values per embedding.
    pub dimension: usize,
    /// `[N, D] f32`, one row per photo.
    pub values: Vec<f32>,
    /// The first photo of its group for each near-duplicate, by names; `None` if the file does not
    /// say.
    pub near_duplicates: Option<BTreeMap<String, String>>,
}

/// Writes embeddings and photo names to a safetensors file.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    bundle: &str,
    photos: &[&str],
    embeddings: &CachedEmbeddings,
) -> anyhow::Result<()> {
    let tensor = Values {
        shape: vec![photos.len(), embeddings.dimension],
        data: embeddings.values.clone(),
    };
    let mut metadata = BTreeMap::from([
        (PHOTOS.to_owned(), serde_json::to_string(photos)?),
        (BUNDLE.to_owned(), bundle.to_owned()),
    ]);
    if let Some(near_duplicates) = &embeddings.near_duplicates {
        let text = serde_json::to_string(near_duplicates)?;
        metadata.insert(NEAR_DUPLICATES.to_owned(), text);
    }
    weights::write(
        path,
        &Weights::from([(TENSOR.to_owned(), tensor)]),
        &metadata,
    )?;
    Ok(())
}

/// The embeddings of `photos`, in their order.
///
/// # Errors
/// If it is not such a file, is of another bundle, or lacks a photo.
pub fn read(path: &Path, bundle: &str, photos: &[&str]) -> anyhow::Result<CachedEmbeddings> {
    let (mut tensors, metadata) = weights::read(path)?;
    let named = metadata
        .get(PHOTOS)
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let (Some(values), Some(named)) = (tensors.remove(TENSOR), named) else {
        bail!(
            "{} holds no embeddings: expected a tensor '{TENSOR}' and the names of the photos in the metadata as '{PHOTOS}'",
            path.display()
        );
    };
    if let Some(other) = metadata.get(BUNDLE).filter(|other| *other != bundle) {
        bail!(
            "{} holds embeddings of bundle {other}, not {bundle}: choose another file or delete it",
            path.display()
        );
    }
    let [rows, dimension] = values.shape[..] else {
        bail!(
            "{}: '{TENSOR}' has shape {:?}; expected [photos, dimension]",
            path.display(),
            values.shape
        );
    };
    ensure!(
        rows == named.len(),
        "{} holds {rows} embeddings but {} names of photos",
        path.display(),
        named.len()
    );
    let at: HashMap<&str, usize> = named
        .iter()
        .enumerate()
        .map(|(i, n)| (n.as_str(), i))
        .collect();
    let mut wanted = Vec::with_capacity(photos.len() * dimension);
    for photo in photos {
        let row = at.get(photo).with_context(|| {
            format!(
                "{} holds no embedding of {photo}: choose another file or delete it",
                path.display()
            )
        })?;
        wanted.extend_from_slice(&values.data[row * dimension..(row + 1) * dimension]);
    }
    let near_duplicates = metadata
        .get(NEAR_DUPLICATES)
        .map(|text| serde_json::from_str(text))
        .transpose()
        .with_context(|| format!("{}: metadata '{NEAR_DUPLICATES}'", path.display()))?;
    Ok(CachedEmbeddings {
        dimension,
        values: wanted,
        near_duplicates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.safetensors");
        let cached = CachedEmbeddings {
            dimension: 2,
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            near_duplicates: Some(BTreeMap::from([("c".into(), "b".into())])),
        };
        write(&path, "B1", &["a", "b", "c"], &cached).unwrap();
        let read_back = read(&path, "B1", &["c", "a"]).unwrap();
        assert_eq!(read_back.values, [5.0, 6.0, 1.0, 2.0]);
        assert_eq!(read_back.near_duplicates, cached.near_duplicates);
        let error = |bundle, photo| read(&path, bundle, &[photo]).unwrap_err().to_string();
        assert!(error("B2", "a").contains("embeddings of bundle B1"));
        assert!(error("B1", "d").contains("no embedding of d"));
    }
}
