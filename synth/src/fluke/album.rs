//! Photos of whales on disk: a folder of JPEG files, and a CSV of the same name with the whale and
//! box of each photo.

use super::difficulty::Difficulty;
use super::individual::Individual;
use super::photograph::{Photograph, Shot, portrait};
use super::skin::Skin;
use crate::error::SynthError;
use crate::seed::{Purpose, generator};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use std::fs;
use std::path::Path;

/// Minimum visible fraction of a fluke in an album's photo.
pub const MIN_VISIBLE: f32 = 0.3;
/// Maximum number of tries until a photo shows that fraction.
const TRIES: u32 = 40;

/// The number of photos of one whale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhalePhotos {
    /// The whale's number, from 1.
    pub whale: u32,
    /// Number of photos.
    pub photos: u32,
}

/// Photos of a population.
#[derive(Clone, Debug)]
pub struct Album<'a> {
    /// The seed of the population.
    pub seed: u64,
    /// The purpose of the photos; photos of different purposes differ.
    pub purpose: Purpose,
    /// The ranges from which poses, light and water are drawn.
    pub difficulty: &'a Difficulty,
}

impl Album<'_> {
    /// Photo `photo` (from 1) of a whale.
    ///
    /// # Errors
    /// [`SynthError::NoVisibleFluke`] if no try shows enough of the fluke.
    pub fn photo(
        &self,
        skin: &Skin,
        whale: u32,
        photo: u32,
    ) -> Result<(Photograph, PixelBox, u8), SynthError> {
        let rng = &mut generator(self.seed, self.purpose, whale, photo);
        for _ in 0..TRIES {
            let Shot {
                photograph,
                quality,
            } = portrait(skin, self.difficulty, rng);
            if let Some(fluke) = photograph.fluke
                && photograph.visible >= MIN_VISIBLE
            {
                return Ok((photograph, fluke, quality));
            }
        }
        Err(SynthError::NoVisibleFluke {
            whale: Individual::name(whale),
        })
    }

    /// Draws the photos of all `photo_counts` and writes them to `folder/name/` and
    /// `folder/name.csv`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        name: &str,
        photo_counts: &[WhalePhotos],
    ) -> Result<(), SynthError> {
        let photos = folder.join(name);
        fs::create_dir_all(&photos).map_err(SynthError::file(&photos))?;
        let lines: Vec<Vec<[String; 8]>> = photo_counts
            .par_iter()
            .map(|of_whale| {
                let skin = Skin::paint(&Individual::draw(self.seed, of_whale.whale));
                (1..=of_whale.photos)
                    .map(|photo| self.write_photo(&photos, &skin, of_whale.whale, photo))
                    .collect()
            })
            .collect::<Result<_, SynthError>>()?;

        let path = folder.join(format!("{name}.csv"));
        let broken = |e: csv::Error| SynthError::Table {
            path: path.clone(),
            reason: e.to_string(),
        };
        let mut table = csv::Writer::from_path(&path).map_err(broken)?;
        table
            .write_record([
                "image", "identity", "width", "height", "x0", "y0", "x1", "y1",
            ])
            .map_err(broken)?;
        for line in lines.iter().flatten() {
            table.write_record(line).map_err(broken)?;
        }
        table.flush().map_err(SynthError::file(&path))
    }

    /// Writes one photo; returns its row of the table.
    fn write_photo(
        &self,
        folder: &Path,
        skin: &Skin,
        whale: u32,
        photo: u32,
    ) -> Result<[String; 8], SynthError> {
        let (taken, fluke, quality) = self.photo(skin, whale, photo)?;
        let name = Individual::name(whale);
        let image = format!("{name}-{photo:02}.jpg");
        write_jpeg(&folder.join(&image), &taken.picture, quality)?;
        let numbers = [
            taken.picture.width(),
            taken.picture.height(),
            fluke.x0,
            fluke.y0,
            fluke.x1,
            fluke.y1,
        ];
        let [width, height, x0, y0, x1, y1] = numbers.map(|n| n.to_string());
        Ok([image, name, width, height, x0, y0, x1, y1])
    }
}

/// Writes a picture as JPEG of `quality` (1..=100).
///
/// # Errors
/// If it cannot be encoded or the file cannot be written.
pub fn write_jpeg(path: &Path, picture: &RgbImage, quality: u8) -> Result<(), SynthError> {
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode_image(picture)
        .map_err(|source| SynthError::Picture {
            path: path.to_owned(),
            source,
        })?;
    fs::write(path, bytes).map_err(SynthError::file(path))
}
