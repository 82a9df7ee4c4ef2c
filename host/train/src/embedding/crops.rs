//! Crops of the training photos, cached on disk: wider than the box, so that shifted and rotated views
//! show what is really there, and with more pixels than the views, so that a view is sampled from them
//! once.

use super::augment::{Placement, REDUCED, Source, Warp};
use super::recipe::{Augmentation, Recipe, Stage};
use crate::trainer::error::TrainError;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Fit, Preparation, PrepareError};
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use image::RgbImage;
use ndarray::Array3;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;
use std::{fs, io};

/// Pixels of a crop for each pixel of a view, along each axis: enough for views that are rotated or
/// moved by fractions of a pixel. Photos of fewer pixels are cached as they are.
const OVERSAMPLING: f32 = 2.0;

/// A part of a photo in the model's colours.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Crop {
    /// `[H, W, C] u8`
    pixels: Array3<u8>,
    /// Left, top, width and height of the padded box, in pixels of the crop.
    frame: [f32; 4],
    /// Width and height of the padded box in the photo.
    size: [u32; 2],
}

impl Crop {
    /// Cuts `region` from a photo, padded and then widened on each side as far as warps reach.
    fn cut(
        photo: &RgbImage,
        region: PixelBox,
        preparation: &Preparation,
        augmentation: &Augmentation,
    ) -> Result<Self, PrepareError> {
        let padded = preparation.widened(region, photo.width(), photo.height())?;
        let size = [padded.width(), padded.height()];
        let (view_w, view_h) = preparation.fitted_size(size[0], size[1]);
        let [x, y] = Warp::reach(augmentation, view_w as f32 / view_h as f32);
        let beyond = |fraction: f32, side: u32| (fraction * side as f32).ceil() as u32;
        let (dx, dy) = (beyond(x, size[0]), beyond(y, size[1]));
        let wide = PixelBox {
            x0: padded.x0.saturating_sub(dx),
            y0: padded.y0.saturating_sub(dy),
            x1: padded.x1.saturating_add(dx).min(photo.width()),
            y1: padded.y1.saturating_add(dy).min(photo.height()),
        };
        let reduced = |side: u32, view: u32, of: u32| {
            let scale = (OVERSAMPLING * view as f32 / side as f32).min(1.0);
            ((of as f32 * scale).round() as u32).max(1)
        };
        let cached = Preparation {
            width: reduced(size[0], view_w, wide.width()),
            height: reduced(size[1], view_h, wide.height()),
            fit: Fit::Stretch,
            padding: 0.0,
            ..preparation.clone()
        };
        let sx = cached.width as f32 / wide.width() as f32;
        let sy = cached.height as f32 / wide.height() as f32;
        Ok(Self {
            pixels: cached.pixels(photo, wide)?,
            frame: [
                (padded.x0 - wide.x0) as f32 * sx,
                (padded.y0 - wide.y0) as f32 * sy,
                size[0] as f32 * sx,
                size[1] as f32 * sy,
            ],
            size,
        })
    }

    /// For views without a warp of the padded box.
    pub(super) fn source(&self) -> Source<'_> {
        let smoothing = |cached: f32, side: u32| {
            if cached < side as f32 { REDUCED } else { 0.0 }
        };
        let [_, _, width, height] = self.frame;
        Source {
            pixels: &self.pixels,
            frame: self.frame,
            smoothing: [
                smoothing(width, self.size[0]),
                smoothing(height, self.size[1]),
            ],
        }
    }

    /// Where a view of this crop lies in the model's input.
    pub(super) fn placement(&self, preparation: &Preparation) -> Placement {
        let (width, height) = preparation.fitted_size(self.size[0], self.size[1]);
        Placement {
            top: ((preparation.height - height) / 2) as usize,
            left: ((preparation.width - width) / 2) as usize,
            height: height as usize,
            width: width as usize,
            image: (preparation.height as usize, preparation.width as usize),
        }
    }

    /// The mean level of the padded box in `channel`, which fills the rest of a letterbox.
    pub(super) fn mean(&self, channel: usize) -> f32 {
        let (h, w, _) = self.pixels.dim();
        let [x, y, width, height] = self.frame;
        let range = |from: f32, length: f32, side: usize| {
            let start = (from.round() as usize).min(side - 1);
            let end = ((from + length).round() as usize).clamp(start + 1, side);
            start..end
        };
        let (rows, columns) = (range(y, height, h), range(x, width, w));
        let count = (rows.len() * columns.len()) as f32;
        let sum = rows
            .flat_map(|y| columns.clone().map(move |x| (y, x)))
            .map(|(y, x)| u64::from(self.pixels[(y, x, channel)]))
            .sum::<u64>();
        (sum as f32 / count).floor()
    }

    /// A header of fixed length, then the pixels.
    fn to_bytes(&self) -> Vec<u8> {
        let (h, w, c) = self.pixels.dim();
        let pixels = self
            .pixels
            .as_slice()
            .expect("crops are in standard layout");
        let mut bytes = Vec::with_capacity(HEADER + pixels.len());
        bytes.extend(MAGIC);
        bytes.extend(crc32fast::hash(pixels).to_le_bytes());
        let sides = [h as u32, w as u32, c as u32, self.size[0], self.size[1]];
        bytes.extend(sides.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(self.frame.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(pixels);
        bytes
    }

    /// `None` if the bytes are not a complete crop.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (header, pixels) = bytes.split_at_checked(HEADER)?;
        let numbers = header.strip_prefix(MAGIC)?;
        let (numbers, _) = numbers.as_chunks::<4>();
        let [crc, h, w, c, width, height] =
            [0, 1, 2, 3, 4, 5].map(|i| u32::from_le_bytes(numbers[i]));
        let frame = [6, 7, 8, 9].map(|i| f32::from_le_bytes(numbers[i]));
        if crc32fast::hash(pixels) != crc {
            return None;
        }
        let shape = (h as usize, w as usize, c as usize);
        Some(Self {
            pixels: Array3::from_shape_vec(shape, pixels.to_vec()).ok()?,
            frame,
            size: [width, height],
        })
    }
}

/// Identifies files of crops, and their format.
const MAGIC: &[u8] = b"FLKCROP1";
const HEADER: usize = MAGIC.len() + 10 * 4;

/// The crops of a run's training photos.
pub(super) struct CropCache {
    folder: PathBuf,
    photos: Vec<LabelledPhoto>,
    preparation: Preparation,
    augmentation: Augmentation,
}

impl CropCache {
    /// Crops in `folder`, which runs may share.
    pub(super) fn new(folder: &Path, photos: Vec<LabelledPhoto>, recipe: &Recipe) -> Self {
        Self {
            folder: folder.to_owned(),
            photos,
            preparation: recipe.preparation(),
            augmentation: recipe.augmentation.clone(),
        }
    }

    /// Number of photos.
    pub(super) fn len(&self) -> usize {
        self.photos.len()
    }

    /// Makes the crops of a stage that are not there yet; `done` is called after each photo.
    ///
    /// # Errors
    /// The first photo that cannot be used, or file that cannot be written.
    pub(super) fn fill(&self, stage: &Stage, done: impl Fn() + Sync) -> Result<(), TrainError> {
        (0..self.photos.len()).into_par_iter().try_for_each(|i| {
            let path = self.path(i, stage)?;
            if !path.is_file() {
                self.make(i, stage, &path)?;
            }
            done();
            Ok(())
        })
    }

    /// The crop of a photo for the views of a stage. Made again if its file is missing or damaged.
    pub(super) fn get(&self, photo: usize, stage: &Stage) -> Result<Crop, TrainError> {
        let path = self.path(photo, stage)?;
        let saved = fs::read(&path).ok();
        match saved.and_then(|bytes| Crop::from_bytes(&bytes)) {
            Some(crop) => Ok(crop),
            None => self.make(photo, stage, &path),
        }
    }

    fn make(&self, photo: usize, stage: &Stage, path: &Path) -> Result<Crop, TrainError> {
        let preparation = at_size(&self.preparation, stage);
        let (picture, region) = self.photos[photo].decode_with_region()?;
        let region = region.unwrap_or(PixelBox::whole(picture.width(), picture.height()));
        let crop = Crop::cut(&picture, region, &preparation, &self.augmentation);
        let crop = crop.map_err(|source| DatasetError::Photo {
            path: self.photos[photo].path.clone(),
            source,
        })?;
        write_whole(path, &crop.to_bytes()).map_err(TrainError::file(path))?;
        Ok(crop)
    }

    /// Its name follows from everything that the crop depends on.
    fn path(&self, photo: usize, stage: &Stage) -> Result<PathBuf, TrainError> {
        let photo = &self.photos[photo];
        let file = fs::metadata(&photo.path).map_err(TrainError::file(&photo.path))?;
        let changed = file
            .modified()
            .ok()
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let geometry = (
            self.augmentation.rotation,
            self.augmentation.shear,
            self.augmentation.scale,
            self.augmentation.shift,
            self.augmentation.perspective,
        );
        let preparation = (
            self.preparation.colour,
            self.preparation.fit,
            self.preparation.padding,
        );
        let parts = (
            &photo.path,
            file.len(),
            changed,
            photo.region,
            geometry,
            preparation,
        );
        let hash = Sha256::digest(format!("{parts:?}"));
        let mut name = String::new();
        for byte in &hash[..16] {
            let _ = write!(name, "{byte:02x}");
        }
        let size = format!("{}x{}", stage.height, stage.width);
        Ok(self.folder.join(size).join(format!("{name}.crop")))
    }
}

/// The preparation at the size of a stage.
pub(super) fn at_size(preparation: &Preparation, stage: &Stage) -> Preparation {
    Preparation {
        height: stage.height,
        width: stage.width,
        ..preparation.clone()
    }
}

/// Writes a file that is there as a whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::augment::sample;
    use image::Rgb;

    const STAGE: Stage = Stage {
        epochs: 1,
        height: 32,
        width: 64,
    };

    /// A smooth picture.
    fn picture() -> RgbImage {
        RgbImage::from_fn(600, 300, |x, y| {
            let wave = |v: f32| (v.sin() * 50.0 + 60.0) as u8;
            let level = wave(x as f32 / 17.0) + wave(y as f32 / 11.0);
            Rgb([level, level / 2, 255 - level])
        })
    }

    fn photo(folder: &Path) -> LabelledPhoto {
        let path = folder.join("a.png");
        picture().save(&path).unwrap();
        LabelledPhoto {
            path,
            name: "a.png".into(),
            whale: None,
            region: Some(PixelBox {
                x0: 200,
                y0: 100,
                x1: 400,
                y1: 190,
            }),
            date: None,
            encounter: None,
        }
    }

    fn recipe(overrides: &[&str]) -> Recipe {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        Recipe::read(None, None, &overrides).unwrap()
    }

    fn cache(folder: &Path, overrides: &[&str]) -> CropCache {
        CropCache::new(
            &folder.join("crops"),
            vec![photo(folder)],
            &recipe(overrides),
        )
    }

    /// A view without a warp, `[C, H, W]`.
    fn plain(crop: &Crop, preparation: &Preparation) -> Vec<f32> {
        let placement = crop.placement(preparation);
        let plane = placement.image.0 * placement.image.1;
        let means = (0..preparation.channels()).flat_map(|c| vec![crop.mean(c); plane]);
        let mut image: Vec<f32> = means.collect();
        sample(
            &crop.source(),
            &Warp::IDENTITY,
            false,
            &placement,
            &mut image,
        );
        image
    }

    #[test]
    fn a_plain_view_is_what_evaluation_prepares() {
        let dir = tempfile::tempdir().unwrap();
        for settings in [
            &["colour=rgb", "fit=stretch"],
            &["colour=grey", "fit=letterbox"],
            &["colour=rgb", "fit=letterbox"],
        ] {
            let crops = cache(dir.path(), settings);
            let preparation = at_size(&crops.preparation, &STAGE);
            let view = plain(&crops.get(0, &STAGE).unwrap(), &preparation);
            let expected = photo(dir.path()).prepared(&preparation).unwrap();
            let (h, w, c) = expected.dim();
            let mut differences: Vec<f32> = (0..c * h * w)
                .map(|i| {
                    let pixel = (i / w % h, i % w, i / (h * w));
                    (view[i] - f32::from(expected[pixel])).abs()
                })
                .collect();
            differences.sort_by(f32::total_cmp);
            let mean = differences.iter().sum::<f32>() / differences.len() as f32;
            assert!(mean < 1.5, "{settings:?}: {mean}");
            assert!(
                differences[differences.len() * 99 / 100] < 8.0,
                "{settings:?}"
            );
        }
    }

    #[test]
    fn a_shifted_view_shows_the_photo_beyond_the_box() {
        let dir = tempfile::tempdir().unwrap();
        let crops = cache(dir.path(), &["augmentation={shift=0.2}", "padding=0.0"]);
        let preparation = at_size(&crops.preparation, &STAGE);
        let crop = crops.get(0, &STAGE).unwrap();
        let mut shifted = vec![0.0; 32 * 64];
        // A tenth of the width and a fifth of the height: 20 and 18 pixels.
        let warp = Warp::shifted([0.2, 0.4]);
        let placement = crop.placement(&preparation);
        sample(&crop.source(), &warp, false, &placement, &mut shifted);
        let mut moved = photo(dir.path());
        moved.region = Some(PixelBox {
            x0: 220,
            y0: 118,
            x1: 420,
            y1: 208,
        });
        let expected = moved.prepared(&preparation).unwrap();
        let differing = shifted.iter().zip(&expected);
        let worst = differing.fold(0f32, |m, (a, b)| m.max((a - f32::from(*b)).abs()));
        assert!(worst < 10.0, "{worst}");
    }

    #[test]
    fn crops_are_made_once_and_again_when_they_are_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let crops = cache(dir.path(), &[]);
        let path = crops.path(0, &STAGE).unwrap();
        crops.fill(&STAGE, || ()).unwrap();
        let crop = crops.get(0, &STAGE).unwrap();
        // Larger than the padded box, with more pixels than the view.
        let (h, w, _) = crop.pixels.dim();
        let [_, _, width, height] = crop.frame;
        assert!(
            (height - 64.0).abs() < 2.0 && (width - 128.0).abs() < 2.0,
            "{width} {height}"
        );
        assert!(h > 76 && w > 150, "{h} {w}");
        let written = fs::read(&path).unwrap();
        for damaged in [&written[..written.len() - 1], &written[..10], &[]] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(crops.get(0, &STAGE).unwrap(), crop);
            assert_eq!(fs::read(&path).unwrap(), written);
        }
        // Other settings have crops of their own; so has a photo that has changed.
        let other = cache(dir.path(), &["padding=0.1"]).path(0, &STAGE).unwrap();
        assert_ne!(path, other);
        fs::write(dir.path().join("a.png"), b"changed").unwrap();
        assert_ne!(path, crops.path(0, &STAGE).unwrap());
    }
}
