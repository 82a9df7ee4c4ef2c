//! Flukes in clips that were not recorded, and how they become sightings.

use crate::clip::{Clip, ClipDescription};
use crate::config::Config;
use crate::encounter::Encounter;
use crate::perception::ClosedEncounter;
use crate::position::PositionHistory;
use crate::recorder::{NewRecording, NewSightings, RecordError, TimeAndPosition};
use crate::recording::Recording;
use crate::session::random;
use crate::time::{ManualMonotonicClock, MonotonicTimestamp, Timing, UtcClock};
use flukewatch_common::clock::ManualClock;
use flukewatch_common::footage::TimedBox;
use flukewatch_common::position::Position;
use flukewatch_common::sighting::BoatId;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How far apart the times of one fluke may be in a recording and in a clip, whose detectors may differ.
const SLACK: Duration = Duration::from_secs(1);
/// Boxes that are further apart in time say nothing about each other.
const COMPARABLE: Duration = Duration::from_millis(500);
/// The first number of tracks in clips: larger than any of a running boat.
const FIRST_TRACK: u64 = 1 << 63;

/// A recorded encounter, as far as it is compared with those in clips.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    session: Uuid,
    camera: String,
    started: MonotonicTimestamp,
    ended: MonotonicTimestamp,
    boxes: Vec<TimedBox>,
    position: Option<Position>,
}

impl Recorded {
    pub(super) fn of(recording: &Recording) -> Self {
        let Recording {
            sighting, track, ..
        } = recording;
        let footage = sighting.footage.as_ref();
        Self {
            session: track.session,
            camera: sighting.camera.clone(),
            started: track.started,
            ended: track.ended,
            boxes: footage.map(|f| f.boxes.clone()).unwrap_or_default(),
            position: sighting.position,
        }
    }

    /// Whether it is of the camera and the run of a clip.
    fn is_of(&self, clip: &ClipDescription) -> bool {
        self.session == clip.session && self.camera == clip.camera
    }

    /// Whether it may be the fluke of `encounter`: seen at the same time and, as far as boxes of the same time tell, in the
    /// same part of the frame.
    fn may_be(&self, encounter: &Encounter) -> bool {
        let apart = encounter.started > self.ended.plus(SLACK)
            || self.started > encounter.ended.plus(SLACK);
        if apart {
            return false;
        }
        let pairs = self.boxes.iter().flat_map(|one| {
            encounter.boxes.iter().map(move |other| {
                let gap = taken(self.started, one).abs_diff(taken(encounter.started, other));
                (gap, one.region.overlap(&other.region))
            })
        });
        let nearest = pairs.min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        nearest.is_none_or(|(gap, overlap)| gap > COMPARABLE || overlap > 0.0)
    }
}

/// When a box was seen, of a fluke that was first seen at `started`.
fn taken(started: MonotonicTimestamp, seen: &TimedBox) -> MonotonicTimestamp {
    started.plus(Duration::from_millis(u64::from(seen.after)))
}

/// The encounters of `found` in a clip that none of `recorded` may be.
pub(super) fn missed(
    clip: &ClipDescription,
    found: Vec<Encounter>,
    recorded: &[Recorded],
) -> Vec<Encounter> {
    let here: Vec<_> = recorded.iter().filter(|r| r.is_of(clip)).collect();
    found
        .into_iter()
        .filter(|encounter| !here.iter().any(|r| r.may_be(encounter)))
        .collect()
}

/// Makes recordings of encounters that were missed in `clip`, which get its times and the position of the recorded encounter
/// that is nearest in time.
pub(super) struct MissedEncounters<'a> {
    new_sightings: NewSightings,
    clip: &'a ClipDescription,
    camera: usize,
    recorded: &'a [Recorded],
    max_fix_age: Duration,
}

impl<'a> MissedEncounters<'a> {
    /// Those of camera number `camera` of `config`.
    ///
    /// # Errors
    /// When the clip has no valid time.
    pub(super) fn of(
        config: &Config,
        boat: &BoatId,
        clip: &'a Clip,
        camera: usize,
        recorded: &'a [Recorded],
    ) -> Result<Self, MissedError> {
        let clip = &clip.description;
        let started = clip.started_at();
        let started = started.ok_or_else(|| MissedError::Time(clip.started.clone()))?;
        // Two clocks that stand still at the first frame: its time by one is that by the other.
        let utc_clock = UtcClock::new(
            Arc::new(ManualClock::new(started)),
            Arc::new(ManualMonotonicClock::new(clip.first_frame)),
        );
        let max_fix_age = config.position.max_fix_age();
        let time_and_position = TimeAndPosition {
            utc_clock: Arc::new(utc_clock),
            positions: Arc::new(PositionHistory::new(max_fix_age, false)),
        };
        let names = config.cameras.iter().map(|c| c.name.clone()).collect();
        let mounts = config.cameras.iter().map(|c| c.mount.mount()).collect();
        let new_sightings = NewSightings::new(boat.clone(), names, time_and_position, random()?)
            .with_config(config.identity)
            .with_mounts(mounts);
        Ok(Self {
            new_sightings,
            clip,
            camera,
            recorded,
            max_fix_age,
        })
    }

    /// The recording of `encounter`.
    ///
    /// # Errors
    /// When it has no crop that can be encoded.
    pub(super) fn record(&mut self, encounter: Encounter) -> Result<NewRecording, RecordError> {
        let started = encounter.started;
        let mut new = self.new_sightings.record(&ClosedEncounter {
            camera: self.camera,
            encounter,
            timing: Timing::Driver,
        })?;
        let track = &mut new.recording.track;
        track.session = self.clip.session;
        track.number = FIRST_TRACK + started.0.unsigned_abs();
        new.recording.sighting.position = self.position(started);
        Ok(new)
    }

    /// Where the boat was: at the encounter nearest in time whose fix is not too old for that.
    fn position(&self, at: MonotonicTimestamp) -> Option<Position> {
        let known = self
            .recorded
            .iter()
            .filter(|r| r.session == self.clip.session);
        let known = known.filter_map(|r| Some((r.started.abs_diff(at), r.position?)));
        let (gap, position) = known.min_by_key(|(gap, _)| *gap)?;
        let age = Duration::from_millis(u64::from(position.age)) + gap;
        (age <= self.max_fix_age).then(|| Position {
            age: u32::try_from(age.as_millis()).unwrap_or(u32::MAX),
            // Where the bow was then is not known.
            heading: None,
            ..position
        })
    }
}

/// An encounter in a clip that cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum MissedError {
    /// The clip has no valid time.
    #[error("the description of the clip has the invalid time '{0}'")]
    Time(String),
    /// The operating system gives no random numbers.
    #[error(transparent)]
    Random(#[from] crate::session::SessionError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::footage::FrameSize;
    use flukewatch_common::pixel_box::PixelBox;

    fn at(millis: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(millis)
    }

    fn seen(after: u32, x0: u32) -> TimedBox {
        let region = PixelBox {
            x0,
            y0: 100,
            x1: x0 + 100,
            y1: 150,
        };
        TimedBox { after, region }
    }

    fn clip() -> ClipDescription {
        ClipDescription {
            camera: "bow".into(),
            session: Uuid::from_u128(4),
            started: "2026-11-23T16:20:00.000Z".into(),
            first_frame: at(5000),
            frames: vec![0, 33],
            width: 640,
            height: 360,
            written: 0,
        }
    }

    /// A fluke from 10 to 13 s that moves from 0 to 300 pixels.
    fn recorded() -> Recorded {
        Recorded {
            session: Uuid::from_u128(4),
            camera: "bow".into(),
            started: at(10_000),
            ended: at(13_000),
            boxes: vec![seen(0, 0), seen(1000, 100), seen(3000, 300)],
            position: None,
        }
    }

    fn encounter(started: i64, ended: i64, boxes: &[TimedBox]) -> Encounter {
        Encounter {
            track: 1,
            started: at(started),
            ended: at(ended),
            frames: 9,
            crops: vec![],
            boxes: boxes.to_vec(),
            frame: FrameSize {
                width: 640,
                height: 360,
            },
            detector: None,
        }
    }

    fn is_missed(encounter: Encounter, recorded: &Recorded) -> bool {
        let recorded = std::slice::from_ref(recorded);
        !missed(&clip(), vec![encounter], recorded).is_empty()
    }

    #[test]
    fn a_fluke_that_was_recorded_is_not_missed() {
        // Seen a little earlier and later by another detector.
        let same = encounter(
            9_500,
            13_500,
            &[seen(0, 0), seen(1500, 110), seen(4000, 320)],
        );
        assert!(!is_missed(same.clone(), &recorded()));
        // The same times of another camera, or another run.
        let mut other = recorded();
        other.camera = "port".into();
        assert!(is_missed(same.clone(), &other));
        let mut other = recorded();
        other.session = Uuid::from_u128(5);
        assert!(is_missed(same, &other));
    }

    #[test]
    fn another_time_or_another_part_of_the_frame_is_missed() {
        let boxes = [seen(0, 0), seen(1000, 100)];
        assert!(is_missed(encounter(14_100, 16_000, &boxes), &recorded()));
        assert!(is_missed(encounter(6_000, 8_900, &boxes), &recorded()));
        assert!(!is_missed(
            encounter(13_900, 16_000, &[seen(0, 300)]),
            &recorded()
        ));
        let elsewhere = [seen(0, 500), seen(1000, 500)];
        assert!(is_missed(
            encounter(10_000, 11_000, &elsewhere),
            &recorded()
        ));
        // Between two boxes of a long recording, its place is unknown.
        let between = [seen(0, 500)];
        assert!(!is_missed(encounter(12_000, 12_400, &between), &recorded()));
    }
}
