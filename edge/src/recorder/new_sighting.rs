//! Makes a recording of an encounter, with all that is known before it is identified.

use crate::crop_jpeg::{self, CropJpegError, MAX_JPEG};
use crate::outbox::Taken;
use crate::perception::ClosedEncounter;
use crate::position::PositionHistory;
use crate::recording::{RecordedCrop, Recording, Track};
use crate::time::{MonotonicTimestamp, Timing, UtcClock, UtcTime};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::footage::{ConfigId, Footage};
use flukewatch_common::sighting::{BoatId, PictureInfo, Sighting};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::{Builder, Uuid};

/// Why an encounter has no identity while it is recorded.
pub const NOT_YET: &str = "not identified yet";

/// An encounter that cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// None of its frames could be decoded.
    #[error("the encounter has no crop")]
    NoCrop,
    /// Its picture or a crop cannot be encoded.
    #[error(transparent)]
    Jpeg(#[from] CropJpegError),
}

/// A recording and its picture, ready for the outbox, which numbers it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecording {
    /// The encounter; the sequence number of its sighting is still 0.
    pub recording: Recording,
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

/// Makes recordings of encounters.
pub struct NewSightings {
    boat: BoatId,
    cameras: Vec<String>,
    time_and_position: TimeAndPosition,
    random: Box<dyn Rng + Send>,
    session: Uuid,
    config: ConfigId,
}

impl NewSightings {
    /// Records encounters of the cameras of `boat`; `random` makes the ids of sightings unique.
    pub fn new(
        boat: BoatId,
        cameras: Vec<String>,
        time_and_position: TimeAndPosition,
        mut random: Box<dyn Rng + Send>,
    ) -> Self {
        let mut session = [0; 16];
        random.fill_bytes(&mut session);
        Self {
            boat,
            cameras,
            time_and_position,
            random,
            session: Builder::from_random_bytes(session).into_uuid(),
            config: ConfigId::default(),
        }
    }

    /// Includes the id of the boat's configuration in each sighting.
    #[must_use]
    pub fn with_config(self, config: ConfigId) -> Self {
        Self { config, ..self }
    }

    /// The random id of this run, which tracks and clips carry.
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// The recording of an encounter. Times are by the best source known now.
    ///
    /// # Errors
    /// When it has no crop, or one cannot be encoded.
    pub(super) fn record(&mut self, closed: &ClosedEncounter) -> Result<NewRecording, RecordError> {
        let ClosedEncounter {
            camera,
            encounter,
            timing,
        } = closed;
        let best = encounter.crops.first().ok_or(RecordError::NoCrop)?;
        let jpeg = crop_jpeg::encode_within(&best.pixels, MAX_JPEG)?;
        let picture = PictureInfo {
            sha256: Sha256::digest(&jpeg.file).into(),
            bytes: jpeg.file.len() as u32,
            width: jpeg.width,
            height: jpeg.height,
        };
        let crops = RecordedCrop::of(encounter)?;
        let TimeAndPosition {
            utc_clock,
            positions,
        } = &self.time_and_position;
        let taken = Taken {
            started: encounter.started,
            timing: *timing,
            clock: utc_clock
                .to_utc(encounter.started, Timing::Driver)
                .basis
                .source,
        };
        let UtcTime { time, basis } = utc_clock.to_utc(encounter.started, *timing);
        let position = positions.near(encounter.started);
        let now = utc_clock.now();
        let id = self.new_id(now);
        let footage = Footage {
            encounter: id,
            frame: encounter.frame,
            boxes: encounter.boxes.clone(),
            crops: crops.iter().map(|crop| crop.quality).collect(),
            earlier_crops: 0,
            detector: encounter.detector,
            config: self.config,
        };
        let sighting = Sighting {
            id,
            boat: self.boat.clone(),
            sequence: 0,
            camera: self.cameras.get(*camera).cloned().unwrap_or_default(),
            started: time,
            ended: time.plus_millis(encounter.ended.millis_since(encounter.started)),
            frames: encounter.frames,
            verdict: Verdict::Unidentified {
                reason: NOT_YET.into(),
            },
            candidates: vec![],
            embedding: CompactEmbedding::NONE,
            picture,
            region: best.frame_region,
            bundle: String::new(),
            engine: String::new(),
            probability: None,
            position,
            time: Some(basis),
            footage: Some(footage),
            epoch: None,
            revision: 0,
            regions: None,
        };
        Ok(NewRecording {
            recording: Recording {
                sighting,
                track: Track::of(self.session, *camera, encounter),
                crops,
            },
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
