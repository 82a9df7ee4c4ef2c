//! One time that a fluke was at the surface, before one camera.

use crate::recording::{Recording, Track};
use flukewatch_common::relative_position::RelativePosition;
use std::time::Duration;

/// Tracks of two cameras that overlap, or are at most this far apart, may show one fluke at once: its
/// cameras need not see it begin and end together.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The most by which the bearings of one fluke from two cameras differ, in degrees: a few for each mount,
/// 11 for cameras 10 m apart and a whale at 50 m, and the boat's yaw between both pictures.
const MAX_BEARING_DIFFERENCE: f32 = 20.0;

/// The track of a fluke, and where it was relative to the boat.
#[derive(Clone, Copy, Debug)]
pub struct Surfacing {
    track: Track,
    position: Option<RelativePosition>,
}

impl Surfacing {
    /// The surfacing that was recorded.
    pub fn of(recording: &Recording) -> Self {
        Self {
            track: recording.track,
            position: recording.sighting.relative_position,
        }
    }

    /// Whether both are of one run of the program: those of different runs are unrelated.
    fn is_of_same_run(&self, other: &Self) -> bool {
        self.track.session == other.track.session
    }

    /// Whether both are parts of one track.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        self.is_of_same_run(other)
            && self.track.camera == other.track.camera
            && self.track.number == other.track.number
    }

    /// Whether it began after `earlier` ended, `within` this time.
    pub(super) fn follows(&self, earlier: &Self, within: Duration) -> bool {
        let (began, ended) = (self.track.started, earlier.track.ended);
        self.is_of_same_run(earlier) && began > ended && began.since(ended) <= within
    }

    /// Whether two cameras saw both at the same time, or nearly so.
    pub(super) fn is_at_once_with(&self, other: &Self) -> bool {
        let (this, that) = (&self.track, &other.track);
        self.is_of_same_run(other)
            && this.camera != that.camera
            && this.started.since(that.ended) <= AT_ONCE
            && that.started.since(this.ended) <= AT_ONCE
    }

    /// Whether both cannot be one fluke: two tracks of one camera at once, or bearings too far apart.
    pub(super) fn excludes(&self, earlier: &Self) -> bool {
        if self.track.camera == earlier.track.camera {
            return self.track.started <= earlier.track.ended;
        }
        let bearings_differ = || {
            let (this, that) = (self.position?, earlier.position?);
            // True bearings do not depend on how the boat turned between both.
            let pair = this.bearing.zip(that.bearing);
            let (a, b) = pair.or(this.bearing_from_bow.zip(that.bearing_from_bow))?;
            let difference = (a - b).rem_euclid(360.0);
            Some(difference.min(360.0 - difference) > MAX_BEARING_DIFFERENCE)
        };
        self.is_at_once_with(earlier) && bearings_differ() == Some(true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::time::MonotonicTimestamp;
    use uuid::Uuid;

    /// One of camera 0, without a bearing, from and to these milliseconds.
    pub(crate) fn surfacing(number: u64, started: i64, ended: i64) -> Surfacing {
        let track = Track {
            session: Uuid::from_u128(9),
            camera: 0,
            number,
            started: MonotonicTimestamp::from_millis(started),
            ended: MonotonicTimestamp::from_millis(ended),
        };
        Surfacing {
            track,
            position: None,
        }
    }

    impl Surfacing {
        pub(crate) fn of_camera(mut self, camera: usize) -> Self {
            self.track.camera = camera;
            self
        }

        pub(crate) fn of_session(mut self, session: u128) -> Self {
            self.track.session = Uuid::from_u128(session);
            self
        }

        pub(crate) fn at(self, position: Option<RelativePosition>) -> Self {
            Self { position, ..self }
        }
    }

    #[test]
    fn true_bearings_count_before_those_from_the_bow() {
        let seen_at = |from_bow, bearing| {
            Some(RelativePosition {
                bearing_from_bow: Some(from_bow),
                bearing,
                range: None,
            })
        };
        // The boat turned by 40 degrees between both pictures.
        let first = surfacing(1, 0, 9000).at(seen_at(350.0, Some(100.0)));
        let second = |bearing| {
            surfacing(1, 100, 9000)
                .of_camera(1)
                .at(seen_at(30.0, bearing))
        };
        assert!(!second(Some(101.0)).excludes(&first));
        assert!(second(Some(140.0)).excludes(&first));
        assert!(second(None).excludes(&first), "by the bow");
    }
}
