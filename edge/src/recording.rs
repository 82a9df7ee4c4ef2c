//! A recording: an encounter as the boat saw it, kept on board with or without an identity.
//!
//! In a file it is a tar that any archive program opens: `encounter.json`, then the crops in colour,
//! best first, as `crop-1.jpg` and so on.

use crate::crop_jpeg::{self, CropJpegError};
use crate::encounter::Encounter;
use crate::time::MonotonicTimestamp;
use flukewatch_common::footage::{CropQuality, MAX_CROPS};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{self, PrepareError};
use flukewatch_common::sighting::Sighting;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::io::{Cursor, Read};
use uuid::Uuid;

const ENCOUNTER_FILE: &str = "encounter.json";
/// The JPEG quality of recorded crops: high, since a model identifies the whale by them.
const QUALITY: u8 = 95;
/// The largest file in a recording, in bytes: more than any crop has.
const MAX_ENTRY: u64 = 32 << 20;

/// An encounter with its crops.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What is known of it before it is identified. The outbox numbers it.
    pub sighting: Sighting,
    /// The fluke's track.
    pub track: Track,
    /// The best crops, best first, at most [`MAX_CROPS`].
    pub crops: Vec<RecordedCrop>,
}

/// The track of a fluke, and when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// A random id of the run of the program; timestamps and tracks of different runs are unrelated.
    pub session: Uuid,
    /// The camera's index in the configuration.
    pub camera: usize,
    /// Its number on that camera. Parts of one encounter that got too long share it.
    pub number: u64,
    /// When the first frame with the fluke was taken.
    pub started: MonotonicTimestamp,
    /// When the last one was taken.
    pub ended: MonotonicTimestamp,
}

impl Track {
    /// The track of an encounter of a camera.
    pub fn of(session: Uuid, camera: usize, encounter: &Encounter) -> Self {
        Self {
            session,
            camera,
            number: encounter.track,
            started: encounter.started,
            ended: encounter.ended,
        }
    }
}

/// A crop in colour.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCrop {
    /// The box with padding, as a JPEG file.
    pub jpeg: Vec<u8>,
    /// The box in the crop.
    pub region: PixelBox,
    /// The box in the frame.
    pub frame_region: PixelBox,
    /// Its quality for identification, and when its frame was taken.
    pub quality: CropQuality,
}

impl RecordedCrop {
    /// Encodes the crops of an encounter.
    ///
    /// # Errors
    /// When one cannot be encoded.
    pub fn of(encounter: &Encounter) -> Result<Vec<Self>, CropJpegError> {
        let crops = encounter.crops.iter().take(MAX_CROPS);
        crops
            .map(|crop| {
                Ok(Self {
                    jpeg: crop_jpeg::encode(&crop.pixels, QUALITY)?,
                    region: crop.region,
                    frame_region: crop.frame_region,
                    quality: crop.quality.compact(encounter.millis_after_start(crop)),
                })
            })
            .collect()
    }

    /// Its pixels.
    ///
    /// # Errors
    /// When the JPEG file is damaged.
    pub fn pixels(&self) -> Result<RgbImage, PrepareError> {
        prepare::decode(&self.jpeg)
    }
}

/// `encounter.json`.
#[derive(Serialize, Deserialize)]
struct Description<S> {
    sighting: S,
    track: Track,
    crops: Vec<DescribedCrop>,
}

#[derive(Serialize, Deserialize)]
struct DescribedCrop {
    file: String,
    region: PixelBox,
    frame_region: PixelBox,
    quality: CropQuality,
}

/// A recording that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Its file is missing.
    #[error("the recording is missing")]
    Missing,
    /// Its file is damaged.
    #[error("the recording is damaged: {0}")]
    Damaged(String),
    /// The file is not a recording of this version.
    #[error("the recording's {ENCOUNTER_FILE} is invalid: {0}")]
    Description(#[from] serde_json::Error),
}

impl Recording {
    /// The bytes of its file.
    ///
    /// # Errors
    /// When the sighting cannot be written as JSON.
    pub fn to_file(&self) -> Result<Vec<u8>, serde_json::Error> {
        let crops = self
            .crops
            .iter()
            .zip(1..)
            .map(|(crop, number)| DescribedCrop {
                file: format!("crop-{number}.jpg"),
                region: crop.region,
                frame_region: crop.frame_region,
                quality: crop.quality,
            });
        let description = Description {
            sighting: &self.sighting,
            track: self.track,
            crops: crops.collect(),
        };
        let seconds = self.sighting.started.0.div_euclid(1000);
        let mut archive = tar::Builder::new(vec![]);
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(u64::try_from(seconds).unwrap_or(0));
            archive.append_data(&mut header, name, bytes)
        };
        let mut written = add(ENCOUNTER_FILE, &serde_json::to_vec_pretty(&description)?);
        for (crop, described) in self.crops.iter().zip(&description.crops) {
            written = written.and_then(|()| add(&described.file, &crop.jpeg));
        }
        written
            .and_then(|()| archive.into_inner())
            .map_err(serde_json::Error::io)
    }

    /// Reads a file of [`Recording::to_file`].
    ///
    /// # Errors
    /// When it is damaged.
    pub fn from_file(file: &[u8]) -> Result<Self, RecordingError> {
        let damaged = |e: &dyn std::fmt::Display| RecordingError::Damaged(e.to_string());
        let mut archive = tar::Archive::new(Cursor::new(file));
        // Raw: an entry is exactly what its own header says.
        let entries = archive.entries().map_err(|e| damaged(&e))?.raw(true);
        let mut files = vec![];
        for entry in entries.take(MAX_CROPS + 1) {
            let mut entry = entry.map_err(|e| damaged(&e))?;
            if entry.size() > MAX_ENTRY.min(file.len() as u64) {
                return Err(damaged(&"a file in it is too large"));
            }
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            files.push((name, bytes));
        }
        let mut take = |name: &str| {
            let at = files.iter().position(|(n, _)| n == name);
            at.map(|at| files.swap_remove(at).1)
                .ok_or_else(|| RecordingError::Damaged(format!("it has no {name}")))
        };
        let description: Description<Sighting> = serde_json::from_slice(&take(ENCOUNTER_FILE)?)?;
        let mut crops = vec![];
        for described in description.crops {
            crops.push(RecordedCrop {
                jpeg: take(&described.file)?,
                region: described.region,
                frame_region: described.frame_region,
                quality: described.quality,
            });
        }
        Ok(Self {
            sighting: description.sighting,
            track: description.track,
            crops,
        })
    }
}

#[cfg(test)]
mod tests;
