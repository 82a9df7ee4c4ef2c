//! Makes a recording of an encounter, with all that is known before it is identified.

use crate::crop_jpeg::{self, CropJpegError, MAX_JPEG};
use crate::mount::Mount;
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
    mounts: Vec<Option<Mount>>,
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
            mounts: vec![],
        }
    }

    /// Includes the id of the boat's configuration in each sighting.
    #[must_use]
    pub fn with_config(self, config: ConfigId) -> Self {
        Self { config, ..self }
    }

    /// Estimates where whales are by the mount of each camera, in the order of the cameras.
    #[must_use]
    pub fn with_mounts(self, mounts: Vec<Option<Mount>>) -> Self {
        Self { mounts, ..self }
    }

    /// The random id of this run, which tracks and clips carry.
    pub fn session(&self) -> Uuid {
        self.session
    }

    /// The recording of an encounter. Times are by the best source known now.
    ///
    /// # Errors
    /// When it has no crop, or one cannot be encoded.
    pub(crate) fn record(&mut self, closed: &ClosedEncounter) -> Result<NewRecording, RecordError> {
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
        let mount = self.mounts.get(*camera).copied().flatten();
        let heading = positions.heading_near(best.taken);
        let relative_position =
            mount.and_then(|m| m.relative_position(best.frame_region, encounter.frame, heading));
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
            relative_position,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encounter::{Crop, Encounter};
    use crate::position::{FixAssembler, Protocol, Reader};
    use crate::quality::Quality;
    use crate::sample;
    use crate::time::ManualMonotonicClock;
    use flukewatch_common::clock::ManualClock;
    use flukewatch_common::footage::{FrameSize, TimedBox};
    use flukewatch_common::pixel_box::PixelBox;
    use image::RgbImage;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::time::Duration;

    fn at(seconds: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(seconds * 1000)
    }

    /// An encounter of 10 s whose best crop was taken after 8 s in the middle of the frame.
    fn closed(camera: usize) -> ClosedEncounter {
        let region = PixelBox {
            x0: 930,
            y0: 500,
            x1: 990,
            y1: 530,
        };
        let crop = Crop {
            pixels: RgbImage::new(60, 30),
            region: PixelBox::whole(60, 30),
            frame_region: region,
            quality: Quality {
                sharpness: 0.5,
                size: 0.5,
                angle: 1.0,
                exposure: 1.0,
            },
            taken: at(68),
        };
        ClosedEncounter {
            camera,
            encounter: Encounter {
                track: 1,
                started: at(60),
                ended: at(70),
                frames: 9,
                crops: vec![crop],
                boxes: vec![TimedBox { after: 0, region }],
                frame: FrameSize {
                    width: 1920,
                    height: 1080,
                },
                detector: None,
            },
            timing: Timing::Driver,
        }
    }

    /// A boat at 38.5 north whose bow turned from 10 to 40 degrees.
    fn turning() -> TimeAndPosition {
        let monotonic = Arc::new(ManualMonotonicClock::new(at(70)));
        let computer = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
        let utc_clock = Arc::new(UtcClock::new(computer, monotonic));
        let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), true));
        let mut assembler = FixAssembler::new(positions.clone(), utc_clock.clone());
        let mut reader = Reader::new(Protocol::Nmea, &mut assembler, positions.clone());
        for (seconds, heading) in [(60, 10), (67, 40)] {
            let rmc = "GPRMC,162000.00,A,3830.0000,N,02830.0000,W,6.5,270.0,231126,,,A";
            for content in [format!("HEHDT,{heading}.0,T"), rmc.to_owned()] {
                let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
                reader.push(format!("${content}*{sum:02X}\r\n").as_bytes(), at(seconds));
            }
        }
        TimeAndPosition {
            utc_clock,
            positions,
        }
    }

    #[test]
    fn the_whale_s_bearing_is_that_of_the_picture_and_the_position_the_boat_s() {
        let mount = Mount {
            field_of_view: 60.0,
            bearing: Some(340.0),
            horizon: None,
        };
        let cameras = vec!["bow".into(), "port".into()];
        let random = Box::new(StdRng::seed_from_u64(1));
        let mut new = NewSightings::new(sample::boat(), cameras, turning(), random)
            .with_mounts(vec![None, Some(mount)]);
        let mut sighting = |camera| new.record(&closed(camera)).unwrap().recording.sighting;
        let seen = sighting(1);
        let relative = seen.relative_position.unwrap();
        assert_eq!(relative.bearing_from_bow, Some(340.0));
        assert_eq!(relative.bearing, Some(20.0), "by the heading of its time");
        let position = seen.position.unwrap();
        assert_eq!((position.latitude, position.heading), (38.5, Some(10.0)));
        assert_eq!(sighting(0).relative_position, None, "without a mount");
    }
}
