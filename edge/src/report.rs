//! From an encounter to the sighting that the boat reports.

use crate::encounter::Encounter;
use crate::identify::{Embedded, Identifier, IdentifyError};
use crate::picture::{self, MAX_JPEG, PictureError};
use crate::position::Positions;
use crate::returns::Returns;
use crate::time::{Dated, Moment, Timekeeper, Timing};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::footage::{ConfigId, Footage};
use flukewatch_common::sighting::{BoatId, PictureInfo, Sighting};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
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
    /// When the last frame with the fluke was taken.
    pub ended: Moment,
}

/// What tells where and when a sighting was.
#[derive(Clone)]
pub struct Whereabouts {
    /// Dates moments.
    pub keeper: Arc<Timekeeper>,
    /// The boat's last positions.
    pub positions: Arc<Positions>,
}

/// Makes sightings of encounters.
pub struct Reporter {
    boat: BoatId,
    cameras: Vec<String>,
    identifier: Identifier,
    whereabouts: Whereabouts,
    random: Box<dyn Rng + Send>,
    returns: Returns,
    config: ConfigId,
}

impl Reporter {
    /// Reports what the cameras of `boat` with these names see; `random` makes the sightings' ids unique.
    pub fn new(
        boat: BoatId,
        cameras: Vec<String>,
        identifier: Identifier,
        whereabouts: Whereabouts,
        random: Box<dyn Rng + Send>,
    ) -> Self {
        Self {
            boat,
            cameras,
            identifier,
            whereabouts,
            random,
            returns: Returns::new(Duration::ZERO),
            config: ConfigId::default(),
        }
    }

    /// Takes a whale that comes back within the time of `returns` for the same encounter.
    #[must_use]
    pub fn with_returns(self, returns: Returns) -> Self {
        Self { returns, ..self }
    }

    /// Names the boat's configuration in each sighting.
    #[must_use]
    pub fn configured(self, config: ConfigId) -> Self {
        Self { config, ..self }
    }

    /// Whether the model looks at brightness alone.
    pub fn sees_grey(&self) -> bool {
        self.identifier.sees_grey()
    }

    /// Names the whale and makes the sighting of what camera number `camera` saw, by frames that were timed by `timing`. Its dates are
    /// those of the best clock that is known now.
    ///
    /// # Errors
    /// When the model or the picture fails.
    pub fn report(
        &mut self,
        camera: usize,
        encounter: &Encounter,
        timing: Timing,
    ) -> Result<Report, ReportError> {
        let Embedded { crops, embeddings } = self.identifier.embed(&encounter.crops)?;
        let best = *crops.first().ok_or(IdentifyError::NoCrop)?;
        let mut identity = self.identifier.identify(&embeddings)?;
        let rule = self.identifier.rule();
        let returns = &self.returns;
        let earlier = returns.continued(camera, encounter, &embeddings, &identity.verdict, rule);
        let mut earlier_crops = 0;
        if let Some(earlier) = earlier {
            // One decision for the encounter: all its crops speak together, as those of one part do.
            let all = [earlier.embeddings.as_slice(), &embeddings].concat();
            identity = self.identifier.identify(&all)?;
            earlier_crops = earlier.embeddings.len();
        }
        let earlier = earlier.map(|e| e.encounter);
        let jpeg = picture::fit(&best.pixels, MAX_JPEG)?;
        let picture = PictureInfo {
            sha256: Sha256::digest(&jpeg.file).into(),
            bytes: jpeg.file.len() as u32,
            width: jpeg.width,
            height: jpeg.height,
        };
        let Whereabouts { keeper, positions } = &self.whereabouts;
        let Dated { time, basis } = keeper.date(encounter.started, timing);
        let position = positions.near(encounter.started);
        let id = self.new_id(keeper.now());
        let footage = Footage {
            encounter: earlier.unwrap_or(id),
            frame: encounter.frame,
            places: encounter.places.clone(),
            crops: crops
                .iter()
                .map(|crop| crop.quality.compact(encounter.after(crop)))
                .collect(),
            earlier_crops: earlier_crops as u8,
            detector: encounter.detector,
            config: self.config,
        };
        let verdict = identity.verdict.clone();
        let returns = &mut self.returns;
        returns.remember(footage.encounter, camera, encounter, embeddings, verdict);
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
            chance: identity.chance,
            position,
            time: Some(basis),
            footage: Some(footage),
        };
        Ok(Report {
            sighting,
            jpeg: jpeg.file,
            ended: encounter.ended,
        })
    }

    fn new_id(&mut self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        Builder::from_unix_timestamp_millis(now.0.max(0).unsigned_abs(), &random).into_uuid()
    }
}
