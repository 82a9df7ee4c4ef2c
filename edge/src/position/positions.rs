//! The last minutes of fixes, and how the receiver is doing.

use crate::time::{Moment, SteadyClock};
use flukewatch_common::position::{FixQuality, Position};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many fixes are kept: twenty minutes of one a second.
const KEPT: usize = 1200;

/// Where the boat was at one moment. Angles in degrees, speed in knots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// When the sentence came.
    pub at: Moment,
    /// North of the equator.
    pub latitude: f64,
    /// East of Greenwich.
    pub longitude: f64,
    /// What it rests on.
    pub quality: FixQuality,
    /// Satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground.
    pub speed: Option<f32>,
    /// Course over ground, true.
    pub course: Option<f32>,
    /// Where the bow points, true.
    pub heading: Option<f32>,
}

/// What health says of the position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PositionHealth {
    /// `off` (none configured), `connecting`, `silent`, `no-fix`, `fix`, or `old-fix` (too old to be given).
    pub state: String,
    /// What is wrong, where something is.
    pub trouble: Option<String>,
    /// Degrees north, of the last fix.
    pub latitude: Option<f64>,
    /// Degrees east, of the last fix.
    pub longitude: Option<f64>,
    /// What the last fix rests on.
    pub quality: Option<FixQuality>,
    /// Satellites in use at the last fix.
    pub satellites: Option<u8>,
    /// How old the last fix is, in milliseconds.
    pub fix_milliseconds_ago: Option<u64>,
    /// Sentences that were understood.
    pub sentences: u64,
    /// Lines that were none, or damaged.
    pub damaged: u64,
    /// How often a connection was made.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct State {
    fixes: VecDeque<Fix>,
    configured: bool,
    hearing: bool,
    /// Whether the last word of the receiver was that it does not know.
    lost: bool,
    silent: bool,
    trouble: Option<String>,
    sentences: u64,
    damaged: u64,
    connections: u64,
}

/// Written by the receiver's thread, read by whoever reports.
#[derive(Debug)]
pub struct Positions {
    longest_age: Duration,
    state: Mutex<State>,
}

impl Positions {
    /// Gives no fix that is older than `longest_age`. With `configured` there is a receiver that should be heard.
    pub fn new(longest_age: Duration, configured: bool) -> Self {
        let state = State {
            configured,
            ..State::default()
        };
        Self {
            longest_age,
            state: Mutex::new(state),
        }
    }

    /// Where the boat was at `at`, by the fix nearest to it; `None` where none is near enough.
    pub fn near(&self, at: Moment) -> Option<Position> {
        let state = self.held();
        let fix = state.fixes.iter().min_by_key(|fix| fix.at.apart(at))?;
        let age = fix.at.apart(at);
        (age <= self.longest_age).then(|| Position {
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

    /// The last fix.
    pub fn last(&self) -> Option<Fix> {
        self.held().fixes.back().copied()
    }

    pub(super) fn add(&self, fix: Fix) {
        let mut state = self.held();
        if state.fixes.len() == KEPT {
            state.fixes.pop_front();
        }
        state.fixes.push_back(fix);
        state.lost = false;
    }

    pub(super) fn no_fix(&self) {
        self.held().lost = true;
    }

    pub(super) fn connected(&self) {
        let mut state = self.held();
        state.connections += 1;
    }

    /// A sentence was understood.
    pub(super) fn hears(&self) {
        let mut state = self.held();
        state.sentences += 1;
        (state.hearing, state.silent) = (true, false);
        state.trouble = None;
    }

    /// A line was none, or damaged.
    pub(super) fn damaged(&self) {
        self.held().damaged += 1;
    }

    /// There is no connection, or nothing comes over it.
    pub(super) fn silent(&self, connected: bool, trouble: String) {
        let mut state = self.held();
        (state.hearing, state.silent) = (false, connected);
        state.trouble = Some(trouble);
    }

    /// What health says now.
    pub fn health(&self, clock: &dyn SteadyClock) -> PositionHealth {
        let state = self.held();
        let last = state.fixes.back();
        let age = last.map(|fix| clock.now().since(fix.at));
        let told = match age {
            _ if !state.configured => "off",
            _ if state.silent => "silent",
            _ if !state.hearing => "connecting",
            _ if state.lost => "no-fix",
            None => "no-fix",
            Some(age) if age > self.longest_age => "old-fix",
            Some(_) => "fix",
        };
        PositionHealth {
            state: told.to_owned(),
            trouble: state.trouble.clone(),
            latitude: last.map(|f| f.latitude),
            longitude: last.map(|f| f.longitude),
            quality: last.map(|f| f.quality),
            satellites: last.and_then(|f| f.satellites),
            fix_milliseconds_ago: age.and_then(|a| u64::try_from(a.as_millis()).ok()),
            sentences: state.sentences,
            damaged: state.damaged,
            connections: state.connections,
        }
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualSteadyClock;

    fn fix(seconds: i64, latitude: f64) -> Fix {
        Fix {
            at: Moment::from_millis(seconds * 1000),
            latitude,
            longitude: -28.0,
            quality: FixQuality::Satellites,
            satellites: None,
            hdop: None,
            speed: None,
            course: None,
            heading: None,
        }
    }

    #[test]
    fn the_fix_nearest_in_time_is_given_with_its_age() {
        let positions = Positions::new(Duration::from_secs(60), true);
        assert_eq!(positions.near(Moment(0)), None);
        (0..=10).for_each(|s| positions.add(fix(s, s as f64)));
        let near = positions.near(Moment::from_millis(4_400)).unwrap();
        assert_eq!((near.latitude, near.age), (4.0, 400));
        let after = positions.near(Moment::from_millis(70_000)).unwrap();
        assert_eq!((after.latitude, after.age), (10.0, 60_000));
    }

    #[test]
    fn a_fix_that_is_too_old_is_refused() {
        let positions = Positions::new(Duration::from_secs(60), true);
        positions.add(fix(10, 1.0));
        assert_eq!(positions.near(Moment::from_millis(70_001)), None);
        positions.hears();
        let clock = ManualSteadyClock::new(Moment::from_millis(70_001));
        let health = positions.health(&clock);
        assert_eq!(
            (health.state.as_str(), health.fix_milliseconds_ago),
            ("old-fix", Some(60_001))
        );
    }

    #[test]
    fn memory_is_bounded() {
        let positions = Positions::new(Duration::from_secs(60), true);
        (0..3000).for_each(|s| positions.add(fix(s, 1.0)));
        assert_eq!(positions.held().fixes.len(), KEPT);
        assert!(positions.near(Moment::from_millis(1_000_000)).is_none());
    }

    #[test]
    fn health_tells_each_state() {
        let clock = ManualSteadyClock::new(Moment::from_millis(10_000));
        let state = |p: &Positions| p.health(&clock).state;
        assert_eq!(state(&Positions::new(Duration::from_secs(9), false)), "off");
        let positions = Positions::new(Duration::from_secs(9), true);
        assert_eq!(state(&positions), "connecting");
        positions.hears();
        assert_eq!(state(&positions), "no-fix");
        positions.add(fix(9, 1.0));
        assert_eq!(state(&positions), "fix");
        positions.no_fix();
        assert_eq!(state(&positions), "no-fix");
        positions.silent(true, "nothing for 10 s".into());
        assert_eq!(state(&positions), "silent");
        positions.hears();
        assert_eq!(positions.health(&clock).trouble, None);
    }
}
