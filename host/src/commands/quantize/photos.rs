//! The photos that ranges are measured on and models are compared on.

use flukewatch_common::bundle::View;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::{Dataset, DatasetError, LabelledPhoto};
use flukewatch_eval::gallery::label::PhotoLabel;
use flukewatch_onnx::quantize::{ImageError, Images, Tick};
use ndarray::Array3;
use rayon::prelude::*;

/// Photos read from their files on each use; the views alternate from photo to photo.
pub(super) struct PhotoFiles<'a> {
    photos: Vec<&'a LabelledPhoto>,
    preparation: &'a Preparation,
    views: &'a [View],
}

impl<'a> PhotoFiles<'a> {
    /// At most `count` photos, spread evenly over a table.
    pub(super) fn spread(
        dataset: &'a Dataset,
        count: usize,
        preparation: &'a Preparation,
        views: &'a [View],
    ) -> Self {
        Self {
            photos: dataset.spread(count),
            preparation,
            views,
        }
    }
}

impl Images for PhotoFiles<'_> {
    fn count(&self) -> usize {
        self.photos.len()
    }

    fn image(&self, at: usize) -> Result<Array3<f32>, ImageError> {
        let pixels = self.photos[at].prepared(self.preparation)?;
        let mirrored = self.views[at % self.views.len().max(1)] == View::Mirrored;
        Ok(self.preparation.normalise(&pixels, mirrored))
    }
}

/// Prepared photos with their whales, kept in memory since several models embed them.
#[derive(Clone)]
pub(super) struct EvalPhotos {
    /// Prepared photos, `[H, W, C] u8` each.
    pub(super) pixels: Vec<Array3<u8>>,
    pub(super) labels: Vec<PhotoLabel>,
    pub(super) preparation: Preparation,
    pub(super) views: Vec<View>,
}

impl EvalPhotos {
    pub(super) fn read(
        photos: &[&LabelledPhoto],
        preparation: &Preparation,
        views: &[View],
        tick: Tick<'_>,
    ) -> Result<Self, DatasetError> {
        let prepared = |photo: &&LabelledPhoto| {
            let pixels = photo.prepared(preparation);
            tick();
            pixels
        };
        Ok(Self {
            pixels: photos.par_iter().map(prepared).collect::<Result<_, _>>()?,
            labels: photos
                .iter()
                .map(|photo| PhotoLabel::of(photo))
                .collect::<Result<_, _>>()?,
            preparation: preparation.clone(),
            views: views.to_vec(),
        })
    }

    pub(super) fn first(&self, count: usize) -> Self {
        let count = count.min(self.pixels.len());
        Self {
            pixels: self.pixels[..count].to_vec(),
            labels: self.labels[..count].to_vec(),
            ..self.clone()
        }
    }
}

/// At most `count` photos: all photos of whales with two or more, of whales spread evenly over
/// their names, so that each can be found again; without such whales, photos spread over the table.
pub(super) fn choose(dataset: &Dataset, count: usize) -> Vec<&LabelledPhoto> {
    let by_whale = dataset.by_whale();
    let whales: Vec<&Vec<usize>> = by_whale.values().filter(|p| p.len() > 1).collect();
    let photos: usize = whales.iter().map(|p| p.len()).sum();
    if photos == 0 {
        return dataset.spread(count);
    }
    // The number of whales with about so many photos.
    let wanted = (count.min(photos) * whales.len()).div_ceil(photos);
    (0..wanted)
        .flat_map(|i| whales[i * whales.len() / wanted])
        .take(count)
        .map(|&at| &dataset.photos[at])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(whales: &[Option<&str>]) -> Dataset {
        let photo = |(i, whale): (usize, &Option<&str>)| LabelledPhoto {
            path: format!("{i}.jpg").into(),
            name: i.to_string(),
            whale: whale.map(str::to_owned),
            region: None,
            date: None,
            encounter: None,
        };
        Dataset {
            photos: whales.iter().enumerate().map(photo).collect(),
            ..Dataset::default()
        }
    }

    fn names(photos: &[&LabelledPhoto]) -> Vec<String> {
        photos.iter().map(|p| p.name.clone()).collect()
    }

    #[test]
    fn all_photos_of_evenly_spread_whales_are_chosen() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        let data = table(&[a, b, a, None, c, c, Some("single"), b]);
        assert_eq!(names(&choose(&data, 100)), ["0", "2", "1", "7", "4", "5"]);
        assert_eq!(names(&choose(&data, 4)), ["0", "2", "1", "7"]);
        assert_eq!(names(&choose(&data, 2)), ["0", "2"]);
        let unnamed = table(&[None, None, Some("single"), None]);
        assert_eq!(names(&choose(&unnamed, 2)), ["0", "2"]);
        assert_eq!(choose(&unnamed, 0).len(), 0);
    }
}
