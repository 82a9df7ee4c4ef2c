//! The fixes of the last minutes, and the state of the receiver.

use super::nav_update::Source;
use super::sources::{SourceHealth, Sources};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::position::{FixQuality, Position};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Fixes to keep: twenty minutes of one per second.
const MAX_FIXES: usize = 1200;

/// The longest time between an image and its heading: a boat turns within seconds.
const MAX_HEADING_AGE: Duration = Duration::from_secs(5);

/// The problem of a receiver that sends no checksums, and what to do.
pub(super) const WITHOUT_CHECKSUM: &str =
    "sentences without a checksum were ignored; switch on checksums in the receiver's settings";

/// A position of the boat. Angles in degrees, speed in knots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// When the sentence arrived.
    pub at: MonotonicTimestamp,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
    /// Kind of fix that the receiver reported.
    pub quality: FixQuality,
    /// Number of satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground in knots.
    pub speed: Option<f32>,
    /// Course over ground, true.
    pub course: Option<f32>,
    /// True heading in degrees.
    pub heading: Option<f32>,
}

/// The position in the health document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PositionHealth {
    /// `off` (no receiver configured), `connecting`, `timed_out`, `no_fix`, `fix` or `stale_fix`.
    pub state: String,
    /// The last error, while it lasts.
    pub trouble: Option<String>,
    /// Degrees north, of the last fix.
    pub latitude: Option<f64>,
    /// Degrees east, of the last fix.
    pub longitude: Option<f64>,
    /// The quality of the last fix.
    pub quality: Option<FixQuality>,
    /// Satellites in use at the last fix.
    pub satellites: Option<u8>,
    /// The age of the last fix, in milliseconds.
    pub fix_milliseconds_ago: Option<u64>,
    /// Fixes since the start: sentences with a position that was used.
    pub fixes: u64,
    /// Sentences with a valid checksum since the start, or valid lines of gpsd or Signal K.
    pub sentences: u64,
    /// Those of `sentences` that are of a kind that is not read.
    pub ignored: u64,
    /// Those of `sentences` whose content is invalid.
    pub malformed: u64,
    /// Sentences that are cut or have a wrong checksum; invalid lines of gpsd or Signal K.
    pub damaged: u64,
    /// Sentences that were rejected because they have no checksum.
    pub without_checksum: u64,
    /// Bytes that belong to no sentence, e.g. of binary messages.
    pub skipped_bytes: u64,
    /// Connections made since the start.
    pub connections: u64,
    /// Internal errors of the reader, after each of which it was restarted.
    #[serde(default)]
    pub panics: u64,
    /// Each source of positions with its last report. Where one has a fix, `state` is `fix`.
    pub sources: Vec<SourceHealth>,
}

#[derive(Debug, Default)]
struct Inner {
    recent: VecDeque<Fix>,
    configured: bool,
    /// Whether sentences arrive.
    receiving: bool,
    sources: Sources,
    timed_out: bool,
    trouble: Option<String>,
    fixes: u64,
    sentences: u64,
    ignored: u64,
    malformed: u64,
    damaged: u64,
    without_checksum: u64,
    skipped_bytes: u64,
    connections: u64,
    panics: u64,
}

/// Recent fixes and the state of the receiver. Written by the GNSS client.
#[derive(Debug)]
pub struct PositionHistory {
    max_age: Duration,
    inner: Mutex<Inner>,
}

impl PositionHistory {
    /// Fixes older than `max_age` are not used. `configured` is whether there is a receiver.
    pub fn new(max_age: Duration, configured: bool) -> Self {
        let inner = Inner {
            configured,
            ..Inner::default()
        };
        Self {
            max_age,
            inner: Mutex::new(inner),
        }
    }

    /// The position at `at`, from the nearest fix; `None` where none is near enough.
    pub fn near(&self, at: MonotonicTimestamp) -> Option<Position> {
        let inner = self.lock();
        let fix = inner.recent.iter().min_by_key(|fix| fix.at.abs_diff(at))?;
        let age = fix.at.abs_diff(at);
        (age <= self.max_age).then(|| Position {
            latitude: fix.latitude,
            longitude: fix.longitude,
            quality: fix.quality,
            age: u32::try_from(age.as_millis()).unwrap_or(u32::MAX),
            satellites: fix.satellites,
            hdop: fix.hdop,
            speed: fix.speed,
            course: fix.course,
            heading: fix.heading,
        })
    }

    /// The true heading at `at` in degrees, from the fix nearest in time that has one; `None` where none
    /// is within five seconds, or within the age limit of fixes.
    pub fn heading_near(&self, at: MonotonicTimestamp) -> Option<f32> {
        let inner = self.lock();
        let with_heading = inner.recent.iter().filter(|fix| fix.heading.is_some());
        let fix = with_heading.min_by_key(|fix| fix.at.abs_diff(at))?;
        let max_age = self.max_age.min(MAX_HEADING_AGE);
        fix.heading.filter(|_| fix.at.abs_diff(at) <= max_age)
    }

    /// The most recent fix, whatever its age.
    pub fn last(&self) -> Option<Fix> {
        self.lock().recent.back().copied()
    }

    pub(super) fn add(&self, fix: Fix) {
        let mut inner = self.lock();
        if inner.recent.len() == MAX_FIXES {
            inner.recent.pop_front();
        }
        inner.recent.push_back(fix);
        inner.fixes += 1;
    }

    /// Takes what `source` reports; `quality` is `None` for no fix.
    pub(super) fn report(
        &self,
        source: Source<'_>,
        quality: Option<FixQuality>,
        at: MonotonicTimestamp,
    ) {
        self.lock().sources.record(source, quality, at);
    }

    /// The best quality that a source reported within `max_age` before `at`.
    pub(super) fn best_quality(
        &self,
        at: MonotonicTimestamp,
        max_age: Duration,
    ) -> Option<FixQuality> {
        self.lock().sources.best(at, max_age)
    }

    /// Whether the receiver that sends `source`, a sentence without a status, has a fix.
    pub(super) fn confirms(&self, source: Source<'_>, at: MonotonicTimestamp) -> bool {
        self.lock().sources.confirms(source, at)
    }

    pub(super) fn count_connection(&self) {
        let mut inner = self.lock();
        inner.connections += 1;
    }

    /// Returns how many there were.
    pub(super) fn count_panic(&self) -> u64 {
        let mut inner = self.lock();
        inner.panics += 1;
        inner.panics
    }

    pub(super) fn count_sentence(&self, ignored: bool) {
        let mut inner = self.lock();
        inner.sentences += 1;
        inner.ignored += u64::from(ignored);
        (inner.receiving, inner.timed_out) = (true, false);
        inner.trouble = None;
    }

    /// Counts a sentence with a valid checksum and an invalid content.
    pub(super) fn count_malformed(&self) {
        self.count_sentence(false);
        self.lock().malformed += 1;
    }

    pub(super) fn count_damaged(&self) {
        self.lock().damaged += 1;
    }

    /// Returns whether it is the first one.
    pub(super) fn count_without_checksum(&self) -> bool {
        let mut inner = self.lock();
        inner.without_checksum += 1;
        inner.without_checksum == 1
    }

    pub(super) fn count_skipped_bytes(&self, bytes: u64) {
        self.lock().skipped_bytes += bytes;
    }

    /// The connection ended or could not be made; `connected` is whether it was made.
    pub(super) fn set_disconnected(&self, connected: bool, trouble: String) {
        let mut inner = self.lock();
        (inner.receiving, inner.timed_out) = (false, connected);
        inner.trouble = Some(trouble);
    }

    /// The position in the health document now.
    pub fn health(&self, clock: &dyn MonotonicClock) -> PositionHealth {
        let inner = self.lock();
        let now = clock.now();
        let last = inner.recent.back();
        let age = last.map(|fix| now.since(fix.at));
        let has_fix = inner.sources.has_fix(now);
        let state = match age {
            _ if !inner.configured => "off",
            _ if inner.timed_out => "timed_out",
            _ if !inner.receiving => "connecting",
            _ if !has_fix && inner.sources.has_no_fix(now) => "no_fix",
            None => "no_fix",
            Some(age) if age > self.max_age => "stale_fix",
            Some(_) => "fix",
        };
        let unchecked = (inner.fixes == 0 && inner.without_checksum > 0)
            .then(|| format!("{} {WITHOUT_CHECKSUM}", inner.without_checksum));
        PositionHealth {
            state: state.to_owned(),
            trouble: inner.trouble.clone().or(unchecked),
            latitude: last.map(|f| f.latitude),
            longitude: last.map(|f| f.longitude),
            quality: last.map(|f| f.quality),
            satellites: last.and_then(|f| f.satellites),
            fix_milliseconds_ago: age.and_then(|a| u64::try_from(a.as_millis()).ok()),
            fixes: inner.fixes,
            sentences: inner.sentences,
            ignored: inner.ignored,
            malformed: inner.malformed,
            damaged: inner.damaged,
            without_checksum: inner.without_checksum,
            skipped_bytes: inner.skipped_bytes,
            connections: inner.connections,
            panics: inner.panics,
            sources: inner.sources.health(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;

    fn fix(seconds: i64, latitude: f64) -> Fix {
        Fix {
            at: MonotonicTimestamp::from_millis(seconds * 1000),
            latitude,
            longitude: -28.0,
            quality: FixQuality::Autonomous,
            satellites: None,
            hdop: None,
            speed: None,
            course: None,
            heading: None,
        }
    }

    #[test]
    fn the_fix_nearest_in_time_is_given_with_its_age() {
        let positions = PositionHistory::new(Duration::from_secs(60), true);
        assert_eq!(positions.near(MonotonicTimestamp(0)), None);
        (0..=10).for_each(|s| positions.add(fix(s, s as f64)));
        let near = positions
            .near(MonotonicTimestamp::from_millis(4_400))
            .unwrap();
        assert_eq!((near.latitude, near.age), (4.0, 400));
        let after = positions
            .near(MonotonicTimestamp::from_millis(70_000))
            .unwrap();
        assert_eq!((after.latitude, after.age), (10.0, 60_000));
    }

    #[test]
    fn a_stale_fix_is_not_used() {
        let positions = PositionHistory::new(Duration::from_secs(60), true);
        positions.add(fix(10, 1.0));
        assert_eq!(
            positions.near(MonotonicTimestamp::from_millis(70_001)),
            None
        );
        positions.count_sentence(false);
        let clock = ManualMonotonicClock::new(MonotonicTimestamp::from_millis(70_001));
        let health = positions.health(&clock);
        assert_eq!(
            (health.state.as_str(), health.fix_milliseconds_ago),
            ("stale_fix", Some(60_001))
        );
    }

    #[test]
    fn a_heading_holds_for_seconds() {
        let positions = PositionHistory::new(Duration::from_secs(60), true);
        let near =
            |seconds: i64| positions.heading_near(MonotonicTimestamp::from_millis(seconds * 1000));
        assert_eq!(near(10), None);
        for (seconds, heading) in [(10, Some(80.0)), (12, Some(90.0)), (14, None)] {
            positions.add(Fix {
                heading,
                ..fix(seconds, 1.0)
            });
        }
        assert_eq!([near(4), near(5), near(10)], [None, Some(80.0), Some(80.0)]);
        assert_eq!(
            [near(14), near(17), near(18)],
            [Some(90.0), Some(90.0), None]
        );
    }

    #[test]
    fn memory_is_bounded() {
        let positions = PositionHistory::new(Duration::from_secs(60), true);
        (0..3000).for_each(|s| positions.add(fix(s, 1.0)));
        assert_eq!(positions.lock().recent.len(), MAX_FIXES);
        assert!(
            positions
                .near(MonotonicTimestamp::from_millis(1_000_000))
                .is_none()
        );
    }

    #[test]
    fn health_has_each_state() {
        let clock = ManualMonotonicClock::new(MonotonicTimestamp::from_millis(10_000));
        let state = |p: &PositionHistory| p.health(&clock).state;
        assert_eq!(
            state(&PositionHistory::new(Duration::from_secs(9), false)),
            "off"
        );
        let positions = PositionHistory::new(Duration::from_secs(9), true);
        assert_eq!(state(&positions), "connecting");
        positions.count_sentence(false);
        assert_eq!(state(&positions), "no_fix");
        positions.add(fix(9, 1.0));
        assert_eq!(state(&positions), "fix");
        let source = Source {
            device: "",
            sentence: "GPRMC",
        };
        positions.report(source, None, clock.now());
        assert_eq!(state(&positions), "no_fix");
        positions.set_disconnected(true, "nothing for 10 s".into());
        assert_eq!(state(&positions), "timed_out");
        positions.count_sentence(false);
        assert_eq!(positions.health(&clock).trouble, None);
    }
}
