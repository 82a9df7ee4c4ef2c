//! The photos that a model is calibrated and compared on.

use super::QuantizeError;
use crate::dataset::{Dataset, DatasetError, LabelledPhoto};
use flukewatch_common::bundle::View;
use flukewatch_common::prepare::Preparation;
use ndarray::Array3;
use rayon::prelude::*;

/// Called after each photo or layer, from any thread.
pub type Tick<'a> = &'a (dyn Fn() + Sync);

/// Images as the model takes them, one by one, so that memory does not grow with their number.
pub trait Images: Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// The image at a place, `[C, H, W] f32`, normalised.
    ///
    /// # Errors
    /// When its photo cannot be used.
    fn image(&self, at: usize) -> Result<Array3<f32>, DatasetError>;
}

impl Images for [Array3<f32>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn image(&self, at: usize) -> Result<Array3<f32>, DatasetError> {
        Ok(self[at].clone())
    }
}

/// Photos that are read from their files whenever they are wanted; every other one mirrored if the model sees mirrored ones.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    /// Which.
    pub photos: Vec<&'a LabelledPhoto>,
    /// How they become images.
    pub preparation: &'a Preparation,
    /// What the model sees of a photo.
    pub views: &'a [View],
}

impl<'a> Files<'a> {
    /// At most `count` photos, spread evenly over a table.
    pub fn spread(
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

impl Images for Files<'_> {
    fn count(&self) -> usize {
        self.photos.len()
    }

    fn image(&self, at: usize) -> Result<Array3<f32>, DatasetError> {
        let pixels = self.photos[at].prepared(self.preparation)?;
        let mirrored = self.views[at % self.views.len().max(1)] == View::Mirrored;
        Ok(self.preparation.normalise(&pixels, mirrored))
    }
}

/// What `work` makes of each image and its place, in their order, on all cores.
///
/// # Errors
/// The first that any image gives.
pub fn each<T: Send>(
    images: &(impl Images + ?Sized),
    tick: Tick<'_>,
    work: impl Fn(usize, &Array3<f32>) -> Result<T, QuantizeError> + Sync,
) -> Result<Vec<T>, QuantizeError> {
    let one = |at| {
        let made = work(at, &images.image(at)?);
        tick();
        made
    };
    (0..images.count()).into_par_iter().map(one).collect()
}

/// Prepared photos with the whales that they show, kept in memory since they are looked at many times.
#[derive(Clone, Debug)]
pub struct Looks {
    /// `[H, W, C] u8` each.
    pub pixels: Vec<Array3<u8>>,
    /// The whale of each, where it has a name.
    pub whales: Vec<Option<String>>,
    /// The photos' names.
    pub names: Vec<String>,
    /// How pixels become an image.
    pub preparation: Preparation,
    /// What the model sees of a photo.
    pub views: Vec<View>,
}

impl Looks {
    /// Reads and prepares photos.
    ///
    /// # Errors
    /// When a photo cannot be used.
    pub fn read(
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
            whales: photos.iter().map(|p| p.whale.clone()).collect(),
            names: photos.iter().map(|p| p.name.clone()).collect(),
            preparation: preparation.clone(),
            views: views.to_vec(),
        })
    }

    /// The first photos only.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.pixels.len());
        Self {
            pixels: self.pixels[..count].to_vec(),
            whales: self.whales[..count].to_vec(),
            names: self.names[..count].to_vec(),
            ..self.clone()
        }
    }
}

/// At most `count` photos to compare models on: all photos of whales with two or more, of whales spread evenly over their names, so that
/// each can be found again; where there are none, photos spread over the table.
pub fn to_compare(dataset: &Dataset, count: usize) -> Vec<&LabelledPhoto> {
    let by_whale = dataset.by_whale();
    let whales: Vec<&Vec<usize>> = by_whale.values().filter(|p| p.len() > 1).collect();
    let photos: usize = whales.iter().map(|p| p.len()).sum();
    if photos == 0 {
        return dataset.spread(count);
    }
    // As many whales as have so many photos between them.
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
        }
    }

    fn names(photos: &[&LabelledPhoto]) -> Vec<String> {
        photos.iter().map(|p| p.name.clone()).collect()
    }

    #[test]
    fn whales_come_whole_and_spread() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        let data = table(&[a, b, a, None, c, c, Some("single"), b]);
        assert_eq!(
            names(&to_compare(&data, 100)),
            ["0", "2", "1", "7", "4", "5"]
        );
        assert_eq!(names(&to_compare(&data, 4)), ["0", "2", "1", "7"]);
        assert_eq!(names(&to_compare(&data, 2)), ["0", "2"]);
        let nobody = table(&[None, None, Some("single"), None]);
        assert_eq!(names(&to_compare(&nobody, 2)), ["0", "2"]);
        assert_eq!(to_compare(&nobody, 0).len(), 0);
    }
}
