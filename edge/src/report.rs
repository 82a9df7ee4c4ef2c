//! Turns an encounter into a sighting.

use crate::crop_jpeg::{self, CropJpegError, MAX_JPEG};
use crate::encounter::Encounter;
use crate::identify::{EmbeddedCrops, Identifier, IdentifyError};
use crate::outbox::Taken;
use crate::position::PositionHistory;
use crate::recent_encounters::RecentEncounters;
use crate::time::{MonotonicTimestamp, Timing, UtcClock, UtcTime};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::footage::{ConfigId, Footage};
use flukewatch_common::sighting::{BoatId, PictureInfo, Sighting};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use uuid::{Builder, Uuid};

/// An encounter that cannot be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It could not be identified.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// Its JPEG could not be encoded.
    #[error(transparent)]
    Jpeg(#[from] CropJpegError),
}

/// A sighting and its JPEG, ready for the outbox, which numbers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The sighting; its sequence number is still 0.
    pub sighting: Sighting,
    /// The picture as a JPEG file.
    pub jpeg: Vec<u8>,
    /// What the outbox remembers to correct its times.
    pub taken: Taken,
    /// When the last frame with the fluke was taken.
    pub ended: MonotonicTimestamp,
}

/// Where the time and position of a sighting come from.
#[derive(Clone)]
pub struct TimeAndPosition {
    /// Converts monotonic timestamps to UTC.
    pub utc_clock: Arc<UtcClock>,
    /// The boat's recent positions.
    pub positions: Arc<PositionHistory>,
}

/// Makes sightings of encounters.
pub struct Reporter {
    boat: BoatId,
    cameras: Vec<String>,
    identifier: Identifier,
    time_and_position: TimeAndPosition,
    random: Box<dyn Rng + Send>,
    recent_encounters: RecentEncounters,
    config: ConfigId,
}

impl Reporter {
    /// Reports encounters of the cameras of `boat`; `random` makes the ids of sightings unique.
    pub fn new(
        boat: BoatId,
        cameras: Vec<String>,
        identifier: Identifier,
        time_and_position: TimeAndPosition,
        random: Box<dyn Rng + Send>,
    ) -> Self {
        Self {
            boat,
            cameras,
            identifier,
            time_and_position,
            random,
            recent_encounters: RecentEncounters::new(Duration::ZERO),
            config: ConfigId::default(),
        }
    }

    /// Lets a whale that resurfaces continue one of `recent_encounters`.
    #[must_use]
    pub fn with_recent_encounters(self, recent_encounters: RecentEncounters) -> Self {
        Self {
            recent_encounters,
            ..self
        }
    }

    /// Includes the id of the boat's configuration in each sighting.
    #[must_use]
    pub fn with_config(self, config: ConfigId) -> Self {
        Self { config, ..self }
    }

    /// Whether the model uses luma only.
    pub fn is_grey(&self) -> bool {
        self.identifier.is_grey()
    }

    /// Identifies the individual of an encounter and creates its sighting; `timing` is that of the
    /// camera's frames. Times are by the best source known now.
    ///
    /// # Errors
    /// When the individual cannot be identified, or the JPEG cannot be encoded.
    pub fn report(
        &mut self,
        camera: usize,
        encounter: &Encounter,
        timing: Timing,
    ) -> Result<Report, ReportError> {
        let EmbeddedCrops { crops, embedded } = self.identifier.embed(&encounter.crops)?;
        let best = crops.first().zip(embedded.first());
        let (best, best_embedded) = best.ok_or(IdentifyError::NoCrop)?;
        let mut identity = self.identifier.identify(&embedded)?;
        let rule = self.identifier.rule();
        let recent_encounters = &self.recent_encounters;
        let earlier = recent_encounters.find_continued(
            camera,
            encounter,
            &embedded,
            &identity.verdict,
            rule,
            self.identifier.local_score(),
        );
        let mut earlier_crops = 0;
        if let Some(earlier) = earlier {
            // One decision for the whole encounter, from the crops of all parts.
            let all = [earlier.embedded.as_slice(), &embedded].concat();
            identity = self.identifier.identify(&all)?;
            earlier_crops = earlier.embedded.len();
        }
        let earlier = earlier.map(|e| e.encounter);
        // Of the picture, which is the best crop.
        let regions = self
            .identifier
            .matching_regions(best, best_embedded, &identity.candidates);
        let jpeg = crop_jpeg::encode_within(&best.pixels, MAX_JPEG)?;
        let picture = PictureInfo {
            sha256: Sha256::digest(&jpeg.file).into(),
            bytes: jpeg.file.len() as u32,
            width: jpeg.width,
            height: jpeg.height,
        };
        let TimeAndPosition {
            utc_clock,
            positions,
        } = &self.time_and_position;
        let taken = Taken {
            started: encounter.started,
            timing,
            clock: utc_clock
                .to_utc(encounter.started, Timing::Driver)
                .basis
                .source,
        };
        let UtcTime { time, basis } = utc_clock.to_utc(encounter.started, timing);
        let position = positions.near(encounter.started);
        let id = self.new_id(utc_clock.now());
        let footage = Footage {
            encounter: earlier.unwrap_or(id),
            frame: encounter.frame,
            boxes: encounter.boxes.clone(),
            crops: crops
                .iter()
                .map(|crop| crop.quality.compact(encounter.millis_after_start(crop)))
                .collect(),
            earlier_crops: earlier_crops as u8,
            detector: encounter.detector,
            config: self.config,
        };
        let verdict = identity.verdict.clone();
        let recent_encounters = &mut self.recent_encounters;
        recent_encounters.remember(footage.encounter, camera, encounter, embedded, verdict);
        let sighting = Sighting {
            id,
            boat: self.boat.clone(),
            sequence: 0,
            camera: self.cameras.get(camera).cloned().unwrap_or_default(),
            started: time,
            ended: time.plus_millis(encounter.ended.millis_since(encounter.started)),
            frames: encounter.frames,
            verdict: identity.verdict,
            candidates: identity.candidates,
            embedding: identity.embedding.compact(),
            picture,
            region: best.frame_region,
            bundle: self.identifier.bundle().to_owned(),
            engine: self.identifier.engine().to_owned(),
            probability: identity.probability,
            position,
            time: Some(basis),
            footage: Some(footage),
            epoch: None,
            revision: 0,
            regions,
        };
        Ok(Report {
            sighting,
            jpeg: jpeg.file,
            taken,
            ended: encounter.ended,
        })
    }

    fn new_id(&mut self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        Builder::from_unix_timestamp_millis(now.0.max(0).unsigned_abs(), &random).into_uuid()
    }
}
