//! Synthetic characters, like a set of hand-drawn alphabets: an easy data set to test a trainer on.
//! A network that learns at all separates unseen characters within a minute; comparing pixels does
//! not.
//!
//! [`glyph::Glyph`] (strokes) → [`drawing`] (hand, pen, paper) → a folder of PNG files for each
//! character, a layout that [`flukewatch_dataset::Dataset`] reads. In the spirit of Omniglot (Lake
//! et al., *Human-level concept learning through probabilistic program induction*, Science 2015);
//! nothing is copied from it.

pub mod drawing;
pub mod glyph;

use super::error::SynthError;
use super::seed::{Purpose, generator};
use crate::fluke::population::create_empty;
use glyph::Glyph;
use image::GrayImage;
use rand::RngExt;
use rayon::prelude::*;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// Maximum number of characters of a set; numbers have four digits.
const MOST_CHARACTERS: u32 = 9_999;
/// Maximum number of drawings of a character; numbers have two digits.
const MOST_DRAWINGS: u32 = 99;

/// A set of drawn characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters {
    /// Seed of the set; the same seed gives the same drawings.
    pub seed: u64,
    /// Number of characters, numbered 1 to `count`.
    pub count: u32,
    /// Number of drawings of each character.
    pub drawings: RangeInclusive<u32>,
}

impl Characters {
    /// The name of character `number`: its folder and its class.
    pub fn name(number: u32) -> String {
        format!("character-{number:04}")
    }

    /// Drawing `drawing` (from 1) of character `number` (from 1): [`drawing::SIDE`] pixels square.
    pub fn draw(&self, number: u32, drawing: u32) -> GrayImage {
        let glyph = Glyph::draw(&mut generator(self.seed, Purpose::Glyph, number, 0));
        let rng = &mut generator(self.seed, Purpose::Drawing, number, drawing);
        drawing::draw(&glyph, rng)
    }

    /// Writes `folder/character-0001/01.png` etc.; `folder` must be empty or missing. Returns the
    /// number of drawings.
    ///
    /// # Errors
    /// If a number is out of range, the folder is not empty, or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<u32, SynthError> {
        self.check()?;
        create_empty(folder)?;
        (1..=self.count)
            .into_par_iter()
            .map(|number| self.write_one(folder, number))
            .sum()
    }

    fn write_one(&self, folder: &Path, number: u32) -> Result<u32, SynthError> {
        let own = folder.join(Self::name(number));
        fs::create_dir(&own).map_err(SynthError::file(&own))?;
        let drawings = generator(self.seed, Purpose::DrawingCount, number, 0)
            .random_range(self.drawings.clone());
        for drawing in 1..=drawings {
            let path = own.join(format!("{drawing:02}.png"));
            self.draw(number, drawing)
                .save(&path)
                .map_err(|source| SynthError::Picture { path, source })?;
        }
        Ok(drawings)
    }

    fn check(&self) -> Result<(), SynthError> {
        if !(1..=MOST_CHARACTERS).contains(&self.count) {
            return Err(SynthError::OutOfRange {
                what: "characters",
                got: self.count.to_string(),
                allowed: "1 to 9999",
            });
        }
        let (least, most) = (*self.drawings.start(), *self.drawings.end());
        if !(1 <= least && least <= most && most <= MOST_DRAWINGS) {
            return Err(SynthError::OutOfRange {
                what: "photos per whale (drawings of each character)",
                got: format!("{least}..{most}"),
                allowed: "A..B with A at least 1 and not above B, B at most 99",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_dataset::Dataset;

    const SET: Characters = Characters {
        seed: 5,
        count: 12,
        drawings: 2..=4,
    };

    #[test]
    fn a_set_is_read_back_as_labelled_photos() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("set");
        let written = SET.write(&folder).unwrap();
        let data = Dataset::open(&folder, None).unwrap();
        let of = data.by_whale();
        assert_eq!((of.len(), data.photos.len()), (12, written as usize));
        assert!(of.values().all(|photos| (2..=4).contains(&photos.len())));
        assert!(
            of.values()
                .any(|photos| photos.len() != written as usize / 12)
        );
        let picture = data.photos[0].decode().unwrap();
        let expected = SET.draw(1, 1);
        assert!(
            picture
                .pixels()
                .zip(expected.pixels())
                .all(|(read, drawn)| read.0 == [drawn.0[0]; 3])
        );
        assert!(matches!(SET.write(&folder), Err(SynthError::NotEmpty(_))));
    }

    #[test]
    fn a_drawing_follows_from_seed_and_numbers() {
        assert_eq!(SET.draw(3, 2), SET.draw(3, 2));
        let other = Characters {
            seed: 6,
            ..SET.clone()
        };
        for differing in [SET.draw(3, 3), SET.draw(4, 2), other.draw(3, 2)] {
            assert_ne!(SET.draw(3, 2), differing);
        }
    }

    #[test]
    fn numbers_out_of_range_are_errors_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("none");
        for (count, drawings, said) in [
            (
                0,
                1..=2,
                "characters: 0 is out of range; it must be 1 to 9999",
            ),
            (3, 0..=2, "A..B with A at least 1"),
            (3, 1..=100, "B at most 99"),
        ] {
            let set = Characters {
                seed: 1,
                count,
                drawings,
            };
            let error = set.write(&folder).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(!folder.exists());
        }
    }
}
