//! Embeds photos with a bundle on all cores, by the same engine as on the boat.

use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::EmbeddedPhoto;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use flukewatch_inference::embedder::{Embedder, EmbedderError};
use flukewatch_progress::bar_unless;
use image::RgbImage;
use image::imageops::{self, FilterType};
use rayon::prelude::*;
use std::path::PathBuf;

/// Why a photo has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The bundle's model cannot be loaded.
    #[error(transparent)]
    Model(EmbedderError),
    /// A photo that cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A photo that cannot be embedded.
    #[error("{path}: {source}")]
    Photo {
        /// File of the photo.
        path: PathBuf,
        /// What the embedder reports.
        source: EmbedderError,
    },
}

/// The embeddings of photos in their order, or an error for each that cannot be used.
///
/// # Errors
/// If the bundle's model cannot be loaded.
pub fn photos(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Result<Embedding, EmbedError>>, EmbedError> {
    let embedded = embedded(bundle, photos, quiet)?;
    let embedding = |photo: Result<EmbeddedPhoto, EmbedError>| photo.map(|photo| photo.embedding);
    Ok(embedded.into_iter().map(embedding).collect())
}

/// Like [`photos`], with the descriptors of the photos where the bundle has local matching.
///
/// # Errors
/// If the bundle's model cannot be loaded.
pub fn embedded(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Result<EmbeddedPhoto, EmbedError>>, EmbedError> {
    embedded_at(bundle, photos, None, quiet)
}

fn embedded_at(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    fluke_width: Option<u32>,
    quiet: bool,
) -> Result<Vec<Result<EmbeddedPhoto, EmbedError>>, EmbedError> {
    // Reports a broken model once instead of for every photo.
    Embedder::open(bundle).map_err(EmbedError::Model)?;
    let progress = bar_unless(quiet, photos.len() as u64, "embedding");
    let embedded = photos
        .par_iter()
        .map_init(
            || Embedder::open(bundle),
            |embedder, photo| {
                progress.inc(1);
                let embedder = match embedder {
                    Ok(embedder) => embedder,
                    Err(e) => {
                        return Err(EmbedError::Model(EmbedderError::Mismatch {
                            bundle: bundle.manifest.name.clone(),
                            why: e.to_string(),
                        }));
                    }
                };
                let (mut picture, mut region) = photo.decode_with_region()?;
                if let Some(width) = fluke_width {
                    (picture, region) = reduced(picture, region, width);
                }
                embedder
                    .embed_with_local(&picture, region)
                    .map_err(|source| EmbedError::Photo {
                        path: photo.path.clone(),
                        source,
                    })
            },
        )
        .collect();
    progress.finish_and_clear();
    Ok(embedded)
}

/// A photo reduced so that its fluke, `region` or all of it, is not wider than `width` pixels, as that of a distant whale is.
pub fn reduced(
    picture: RgbImage,
    region: Option<PixelBox>,
    width: u32,
) -> (RgbImage, Option<PixelBox>) {
    let fluke = region.map_or(picture.width(), |region| region.width());
    if fluke <= width {
        return (picture, region);
    }
    let scale = f64::from(width) / f64::from(fluke);
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let (wide, high) = (side(picture.width()), side(picture.height()));
    let region = region.and_then(|r| {
        let edges = [r.x0, r.y0, r.x1, r.y1].map(|edge| f64::from(edge) * scale);
        PixelBox::covering(edges)?.within(wide, high)
    });
    let picture = imageops::resize(&picture, wide, high, FilterType::Triangle);
    (picture, region)
}

/// Like [`photos`], but stops at the first photo that cannot be used.
///
/// # Errors
/// If the model cannot be loaded or a photo cannot be used.
pub fn all_photos(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<Embedding>, EmbedError> {
    photos(bundle, all, quiet)?.into_iter().collect()
}

/// The values of embeddings, row by row.
///
/// # Shapes
/// `[N, D] f32`.
pub fn values(rows: &[Embedding]) -> Vec<f32> {
    rows.iter()
        .flat_map(|row| row.as_slice())
        .copied()
        .collect()
}

/// Like [`embedded`], but stops at the first photo that cannot be used.
///
/// # Errors
/// If the model cannot be loaded or a photo cannot be used.
pub fn all_embedded(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    quiet: bool,
) -> Result<Vec<EmbeddedPhoto>, EmbedError> {
    embedded(bundle, all, quiet)?.into_iter().collect()
}

/// Like [`all_embedded`], of photos that are reduced so that no fluke is wider than `fluke_width` pixels,
/// as those of distant whales are.
///
/// # Errors
/// If the model cannot be loaded or a photo cannot be used.
pub fn all_reduced(
    bundle: &Bundle,
    all: &[LabelledPhoto],
    fluke_width: u32,
    quiet: bool,
) -> Result<Vec<EmbeddedPhoto>, EmbedError> {
    let embedded = embedded_at(bundle, all, Some(fluke_width), quiet)?;
    embedded.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduced_photo_has_a_fluke_of_that_width() {
        let picture = RgbImage::from_fn(300, 120, |x, _| image::Rgb([(x % 250) as u8; 3]));
        let region = PixelBox {
            x0: 50,
            y0: 30,
            x1: 250,
            y1: 110,
        };
        let (small, found) = reduced(picture.clone(), Some(region), 100);
        assert_eq!(small.dimensions(), (150, 60));
        let expected = PixelBox {
            x0: 25,
            y0: 15,
            x1: 125,
            y1: 55,
        };
        assert_eq!(found, Some(expected));
        let same = reduced(picture.clone(), Some(region), 200);
        assert_eq!(same, (picture.clone(), Some(region)));
        assert_eq!(reduced(picture, None, 30).0.dimensions(), (30, 12));
    }
}
