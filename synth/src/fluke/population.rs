//! A whole population on disk: the whales of the catalogue, the queries, and the camera sequences.

use super::album::{Album, WhalePhotos};
use super::difficulty::FIELD;
use super::individual::Individual;
use super::sequence::{PlannedEncounter, Sequence, write_json};
use super::truth::{PopulationTruth, WhaleTruth};
use crate::error::SynthError;
use crate::seed::{Purpose, Span, generator};
use rand::RngExt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

/// Maximum number of whales of a population; numbers have four or five digits.
const MOST_WHALES: u32 = 50_000;

/// The settings of a population.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Seed of the population; the same seed gives the same files.
    pub seed: u64,
    /// Number of whales in the catalogue, numbered 1 to `whales`.
    pub whales: u32,
    /// Number of photos of each whale in the catalogue.
    pub photos: RangeInclusive<u32>,
    /// Number of further whales, which are not in the catalogue.
    pub new_whales: u32,
    /// Number of photos of each whale, new ones included, among the queries.
    pub queries: u32,
    /// The camera sequences.
    pub cameras: Cameras,
}

/// Settings of the camera sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Cameras {
    /// Number of sequences.
    pub sequences: u32,
    /// Number of encounters of each sequence.
    pub encounters: RangeInclusive<u32>,
    /// Fraction of encounters with whales of the catalogue. By default half if there are new
    /// whales, else all.
    pub enrolled_fraction: Option<f32>,
    /// Duration of open sea before, between and after flukes, in seconds.
    pub sea_seconds: Span,
    /// Frames per second.
    pub frames_per_second: f32,
    /// Width and height of a frame in pixels.
    pub size: (u32, u32),
}

impl Population {
    /// Draws everything into `folder`, which must be empty or missing.
    ///
    /// # Errors
    /// If a setting is invalid, the folder is not empty, or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PopulationTruth, SynthError> {
        self.check()?;
        let encounters = self.encounters()?;
        create_empty(folder)?;

        let mut whales: Vec<WhaleTruth> = (1..=self.whales + self.new_whales)
            .map(|n| self.whale(n))
            .collect();
        let photo_counts =
            |photos: fn(&WhaleTruth) -> u32, whales: &[WhaleTruth]| -> Vec<WhalePhotos> {
                let photo_counts = (1..).zip(whales).map(|(whale, truth)| WhalePhotos {
                    whale,
                    photos: photos(truth),
                });
                photo_counts.filter(|s| s.photos > 0).collect()
            };
        let album = |purpose| Album {
            seed: self.seed,
            purpose,
            difficulty: &FIELD,
        };
        album(Purpose::CataloguePhoto).write(
            folder,
            "catalogue",
            &photo_counts(|w| w.catalogue_photos, &whales),
        )?;
        if self.queries > 0 {
            album(Purpose::QueryPhoto).write(
                folder,
                "queries",
                &photo_counts(|w| w.query_photos, &whales),
            )?;
        }

        let mut sequences = vec![];
        for (number, encounters) in (1..).zip(&encounters) {
            let sequence = Sequence {
                seed: self.seed,
                number,
                encounters,
                frames_per_second: self.cameras.frames_per_second,
                sea_seconds: self.cameras.sea_seconds.clone(),
                size: self.cameras.size,
                difficulty: &FIELD,
            };
            sequence.write(&folder.join("sequences"))?;
            for encounter in encounters {
                whales[encounter.whale as usize - 1].encounters += 1;
            }
            sequences.push(sequence.name());
        }
        let truth = PopulationTruth {
            seed: self.seed,
            whales,
            sequences,
        };
        write_json(&folder.join("truth.json"), &truth)?;
        Ok(truth)
    }

    fn whale(&self, number: u32) -> WhaleTruth {
        let enrolled = number <= self.whales;
        let photos =
            generator(self.seed, Purpose::PhotoCount, number, 0).random_range(self.photos.clone());
        WhaleTruth {
            name: Individual::name(number),
            enrolled,
            catalogue_photos: if enrolled { photos } else { 0 },
            query_photos: self.queries,
            encounters: 0,
        }
    }

    /// The whales of each sequence. No whale is met twice before all of its kind (enrolled or new)
    /// are met once.
    fn encounters(&self) -> Result<Vec<Vec<PlannedEncounter>>, SynthError> {
        let rng = &mut generator(self.seed, Purpose::Meetings, 0, 0);
        let counts: Vec<u32> = (0..self.cameras.sequences)
            .map(|_| rng.random_range(self.cameras.encounters.clone()))
            .collect();
        let total: u32 = counts.iter().sum();
        let fraction = self
            .cameras
            .enrolled_fraction
            .unwrap_or(if self.new_whales > 0 { 0.5 } else { 1.0 });
        let enrolled = (fraction * total as f32).round() as u32;
        if enrolled < total && self.new_whales == 0 {
            return Err(SynthError::NoNewWhales { fraction });
        }
        let mut turns = |from: u32, count: u32, encounters: u32| -> Vec<u32> {
            let mut order: Vec<u32> = (from..from + count).collect();
            shuffle(&mut order, |most| rng.random_range(0..most));
            order
                .into_iter()
                .cycle()
                .take(encounters as usize)
                .collect()
        };
        let met = |enrolled: bool| move |whale: u32| PlannedEncounter { whale, enrolled };
        let mut all: Vec<PlannedEncounter> = turns(1, self.whales, enrolled)
            .into_iter()
            .map(met(true))
            .collect();
        all.extend(
            turns(self.whales + 1, self.new_whales, total - enrolled)
                .into_iter()
                .map(met(false)),
        );
        shuffle(&mut all, |most| rng.random_range(0..most));
        let mut rest = all.as_slice();
        Ok(counts
            .iter()
            .map(|&count| {
                let (these, others) = rest.split_at(count as usize);
                rest = others;
                these.to_vec()
            })
            .collect())
    }

    fn check(&self) -> Result<(), SynthError> {
        let demand = |holds: bool, what, got: String, allowed| {
            if holds {
                Ok(())
            } else {
                Err(SynthError::OutOfRange { what, got, allowed })
            }
        };
        let span = |r: &RangeInclusive<u32>, least, most| {
            least <= *r.start() && r.start() <= r.end() && *r.end() <= most
        };
        let written = |r: &RangeInclusive<u32>| format!("{}..{}", r.start(), r.end());
        demand(
            (1..=MOST_WHALES).contains(&self.whales),
            "whales",
            self.whales.to_string(),
            "1 to 50000",
        )?;
        demand(
            self.new_whales <= MOST_WHALES,
            "new whales",
            self.new_whales.to_string(),
            "0 to 50000",
        )?;
        let allowed = "A..B with A at least 1 and not above B, B at most 99";
        demand(
            span(&self.photos, 1, 99),
            "photos per whale",
            written(&self.photos),
            allowed,
        )?;
        demand(
            self.queries <= 99,
            "queries per whale",
            self.queries.to_string(),
            "0 to 99",
        )?;
        let cameras = &self.cameras;
        demand(
            cameras.sequences <= 999,
            "sequences",
            cameras.sequences.to_string(),
            "0 to 999",
        )?;
        let encounters = &cameras.encounters;
        demand(
            span(encounters, 1, 99),
            "encounters per sequence",
            written(encounters),
            allowed,
        )?;
        let share = cameras.enrolled_fraction.unwrap_or(0.5);
        demand(
            (0.0..=1.0).contains(&share),
            "enrolled fraction",
            share.to_string(),
            "0 to 1",
        )?;
        let rate = cameras.frames_per_second;
        demand(
            (1.0..=120.0).contains(&rate),
            "frames per second",
            rate.to_string(),
            "1 to 120",
        )?;
        let (from, to) = (*cameras.sea_seconds.start(), *cameras.sea_seconds.end());
        let good = 0.0 < from && from <= to && to <= 600.0;
        demand(
            good,
            "sea seconds",
            format!("{from}..{to}"),
            "A..B with A above 0 and not above B, B at most 600",
        )?;
        let (width, height) = cameras.size;
        let good = (160..=4096).contains(&width) && (90..=4096).contains(&height);
        demand(
            good,
            "frame size",
            format!("{width}x{height}"),
            "160x90 to 4096x4096",
        )
    }
}

/// Creates `folder` if it is missing.
///
/// # Errors
/// If it is not empty or cannot be created.
pub(crate) fn create_empty(folder: &Path) -> Result<(), SynthError> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(SynthError::NotEmpty(folder.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(SynthError::file(folder))
        }
        Err(e) => Err(SynthError::file(folder)(e)),
    }
}

/// Shuffles items; `pick(n)` returns a random number below `n`.
fn shuffle<T>(things: &mut [T], mut pick: impl FnMut(usize) -> usize) {
    for last in (1..things.len()).rev() {
        things.swap(last, pick(last + 1));
    }
}

#[cfg(test)]
mod tests;
