//! From an encounter to the sighting that the boat reports.

use crate::encounter::Encounter;
use crate::identify::{Identifier, IdentifyError};
use crate::picture::{self, MAX_JPEG, PictureError};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, PictureInfo, Sighting};
use rand::Rng;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Why an encounter has no sighting.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It could not be matched.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// Its picture could not be made.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// A sighting and its picture, ready for the outbox, which numbers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The sighting; its sequence number is still 0.
    pub sighting: Sighting,
    /// The picture file.
    pub jpeg: Vec<u8>,
}

/// Makes sightings of encounters.
pub struct Reporter {
    boat: BoatId,
    camera: String,
    identifier: Identifier,
    random: Box<dyn Rng + Send>,
}

impl Reporter {
    /// Reports what `camera` of `boat` sees; `random` makes the sightings' ids unique.
    pub fn new(
        boat: BoatId,
        camera: String,
        identifier: Identifier,
        random: Box<dyn Rng + Send>,
    ) -> Self {
        Self {
            boat,
            camera,
            identifier,
            random,
        }
    }

    /// Names the whale and makes the sighting, with an id of the moment `now`.
    ///
    /// # Errors
    /// When the model or the picture fails.
    pub fn report(&mut self, encounter: &Encounter, now: Timestamp) -> Result<Report, ReportError> {
        let best = encounter.crops.first().ok_or(IdentifyError::NoCrop)?;
        let identity = self.identifier.identify(&encounter.crops)?;
        let jpeg = picture::fit(&best.pixels, MAX_JPEG)?;
        let picture = PictureInfo {
            sha256: Sha256::digest(&jpeg.file).into(),
            bytes: jpeg.file.len() as u32,
            width: jpeg.width,
            height: jpeg.height,
        };
        let sighting = Sighting {
            id: self.new_id(now),
            boat: self.boat.clone(),
            sequence: 0,
            camera: self.camera.clone(),
            started: encounter.started,
            ended: encounter.ended,
            frames: encounter.frames,
            verdict: identity.verdict,
            candidates: identity.candidates,
            embedding: identity.embedding.compact(),
            picture,
            region: best.frame_region,
            bundle: self.identifier.bundle().to_owned(),
            engine: self.identifier.engine().to_owned(),
            chance: identity.chance,
        };
        Ok(Report {
            sighting,
            jpeg: jpeg.file,
        })
    }

    fn new_id(&mut self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        Builder::from_unix_timestamp_millis(now.0.max(0).unsigned_abs(), &random).into_uuid()
    }
}
