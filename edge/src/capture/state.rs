//! The state of a camera, for health.

use crate::levels::Levels;
use crate::picture::PictureFault;
use crate::sliding_window::SlidingWindow;
use crate::time::{MonotonicClock, MonotonicTimestamp};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A camera in the health document. Counts are since the program started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraHealth {
    /// Its name in the configuration.
    pub name: String,
    /// `connecting` (not opened yet), `streaming`, `stalled`, `disconnected`, `replaying`, `ended` or
    /// `failed`.
    pub state: String,
    /// The last error, while it lasts.
    pub trouble: Option<String>,
    /// What it sends, e.g. `1920x1080 MJPEG at 30 fps`.
    pub mode: Option<String>,
    /// Frames received of a live camera.
    pub frames: u64,
    /// Frames replaced by newer ones before they were processed.
    pub dropped: u64,
    /// Frames lost in the driver, by the gaps in its sequence numbers.
    pub missed: u64,
    /// Frames that the driver marked as damaged, or that were empty.
    pub damaged: u64,
    /// Frames that could not be used, for whatever reason; also of a replay.
    #[serde(default)]
    pub broken: u64,
    /// Reconnections, and restarts after a stall.
    pub restarts: u64,
    /// Internal errors of the camera's thread, after each of which it was restarted.
    #[serde(default)]
    pub panics: u64,
    /// The age of its last frame, in milliseconds.
    pub last_frame_milliseconds_ago: Option<u64>,
    /// The age of the last frame that was searched for flukes, in milliseconds.
    #[serde(default)]
    pub last_searched_milliseconds_ago: Option<u64>,
    /// Frames that were searched for flukes, also those that the gate took for open sea and those of a replay.
    #[serde(default)]
    pub searched: u64,
    /// Frames received of a live camera in the last minute.
    #[serde(default)]
    pub recent_frames: u64,
    /// Those of them that were searched.
    #[serde(default)]
    pub recent_searched: u64,
    /// What is wrong with its pictures.
    #[serde(default)]
    pub picture: Option<PictureFault>,
    /// For how long that has been so, in seconds.
    #[serde(default)]
    pub picture_seconds: Option<u64>,
}

/// The least number of frames of which a fraction that is searched means something: one or two may still be in work.
const MIN_RECENT: u64 = 10;

impl CameraHealth {
    /// The fraction of the last minute's frames that were searched; `None` for a replay, and with few frames.
    pub fn searched_fraction(&self) -> Option<f64> {
        let enough = self.recent_frames >= MIN_RECENT;
        enough.then(|| self.recent_searched as f64 / self.recent_frames as f64)
    }

    /// Whether its frames are searched now, by `levels`, and are new ones.
    pub fn is_searched(&self, levels: &Levels) -> bool {
        match self.state.as_str() {
            "replaying" => true,
            "streaming" => {
                self.picture != Some(PictureFault::Frozen)
                    && self
                        .last_searched_milliseconds_ago
                        .is_some_and(|ago| !levels.is_blind(ago))
            }
            _ => false,
        }
    }
}

/// Written by the camera's thread, read by the monitor.
#[derive(Debug, Default)]
pub struct CameraState {
    held: Mutex<Held>,
    steps: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    health: CameraHealth,
    /// When its last frame was taken.
    last: Option<MonotonicTimestamp>,
    /// When the last frame that was searched was taken.
    searched: Option<MonotonicTimestamp>,
    /// By the time at which they were taken.
    recent_frames: SlidingWindow<FrameCount>,
    /// What is wrong with its pictures, and since when.
    picture: Option<(PictureFault, MonotonicTimestamp)>,
    all: Tally,
    /// Of the last frames.
    recent: Tally,
    /// Why the last broken frame could not be used.
    fault: String,
    /// Whether the trouble in the health document is that most frames are broken.
    reported: bool,
}

/// Frames that a live camera sent, and those of them that were searched.
#[derive(Clone, Copy, Debug, Default)]
struct FrameCount {
    received: u64,
    searched: u64,
}

impl AddAssign for FrameCount {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.searched += other.searched;
    }
}

/// Frames that were processed.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    frames: u64,
    broken: u64,
}

impl Tally {
    fn count(&mut self, broken: bool) {
        self.frames += 1;
        self.broken += u64::from(broken);
    }

    fn mostly_broken(self) -> bool {
        self.broken * 2 > self.frames
    }
}

impl Held {
    fn describe(&self, of: Tally) -> String {
        let Tally { frames, broken } = of;
        let fault = &self.fault;
        format!("{broken} of {frames} frames cannot be used; the last: {fault}")
    }
}

/// The least number of frames after which most of them are reported as broken.
const MIN_REPORTED: u64 = 10;
/// At this number of recent frames, older ones begin to count less.
const MAX_RECENT: u64 = 200;

impl CameraState {
    /// The state of the camera `name` before it is opened.
    pub fn new(name: &str) -> Self {
        let health = CameraHealth {
            name: name.to_owned(),
            state: "connecting".to_owned(),
            ..CameraHealth::default()
        };
        Self {
            held: Mutex::new(Held {
                health,
                ..Held::default()
            }),
            steps: AtomicU64::new(0),
        }
    }

    /// Counts a sign of life of the camera's thread.
    pub fn beat(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    /// Increases while the camera's thread is alive.
    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Whether it has ended or failed.
    pub fn has_ended(&self) -> bool {
        matches!(self.lock().health.state.as_str(), "ended" | "failed")
    }

    /// Changes the health document.
    pub fn update(&self, change: impl FnOnce(&mut CameraHealth)) {
        change(&mut self.lock().health);
    }

    /// Counts a frame taken at `taken`.
    pub fn count_frame(&self, taken: MonotonicTimestamp) {
        let mut held = self.lock();
        held.health.frames += 1;
        held.last = Some(taken);
        let count = FrameCount {
            received: 1,
            searched: 0,
        };
        held.recent_frames.add(taken, count);
    }

    /// Notes that the frame taken at `taken` was searched for flukes.
    pub fn searched(&self, taken: MonotonicTimestamp) {
        let mut held = self.lock();
        held.health.searched += 1;
        held.searched = Some(taken);
        let count = FrameCount {
            received: 0,
            searched: 1,
        };
        held.recent_frames.add(taken, count);
    }

    /// Notes what is wrong with its pictures, and since when.
    pub fn set_picture(&self, found: Option<(PictureFault, MonotonicTimestamp)>) {
        let mut held = self.lock();
        let fault = |found: Option<(PictureFault, _)>| found.map(|(fault, _)| fault);
        if fault(held.picture) != fault(found) {
            let camera = &held.health.name;
            match found {
                Some((fault, _)) => tracing::warn!(camera, %fault, "pictures cannot show a fluke"),
                None => tracing::info!(camera, "pictures can show flukes again"),
            }
        }
        held.picture = found;
    }

    /// Counts a frame replaced by a newer one.
    pub fn count_dropped(&self) {
        self.lock().health.dropped += 1;
    }

    /// Counts a frame that was processed, with the reason where it could not be used. Where most of the
    /// recent ones could not, the health document says it.
    pub fn count_processed(&self, fault: Option<&str>) {
        let held = &mut *self.lock();
        held.all.count(fault.is_some());
        held.recent.count(fault.is_some());
        if held.recent.frames >= MAX_RECENT {
            held.recent.frames /= 2;
            held.recent.broken /= 2;
        }
        if let Some(fault) = fault {
            held.health.broken += 1;
            fault.clone_into(&mut held.fault);
        }
        let report = held.recent.frames >= MIN_REPORTED && held.recent.mostly_broken();
        if report && fault.is_some() {
            held.health.trouble = Some(held.describe(held.recent));
        } else if held.reported && !report {
            held.health.trouble = None;
        }
        held.reported = report;
    }

    /// What is wrong where more than half of all frames could not be used, or, for unrelated `stills`, none
    /// could.
    pub fn mostly_broken(&self, stills: bool) -> Option<String> {
        let held = self.lock();
        let Tally { frames, broken } = held.all;
        let name = &held.health.name;
        let described = || format!("camera '{name}': {}", held.describe(held.all));
        (held.all.mostly_broken() && (!stills || broken == frames)).then(described)
    }

    /// Reports at the end that more than half of all frames could not be used, however few there were.
    pub fn finish(&self) {
        let held = &mut *self.lock();
        if held.all.mostly_broken() {
            held.health.trouble = Some(held.describe(held.all));
        }
    }

    /// The camera in the health document now.
    pub fn health(&self, clock: &dyn MonotonicClock) -> CameraHealth {
        let held = self.lock();
        let Held {
            health,
            last,
            searched,
            picture,
            recent_frames,
            ..
        } = &*held;
        let now = clock.now();
        let recent = recent_frames.sum(now);
        let ago = |at: &MonotonicTimestamp| u64::try_from(now.millis_since(*at)).unwrap_or(0);
        CameraHealth {
            last_frame_milliseconds_ago: last.as_ref().map(ago),
            last_searched_milliseconds_ago: searched.as_ref().map(ago),
            recent_frames: recent.received,
            // A replay's frames are searched, but not received of a camera.
            recent_searched: recent.searched.min(recent.received),
            picture: picture.map(|(fault, _)| fault),
            picture_seconds: picture.map(|(_, since)| ago(&since) / 1000),
            ..health.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;
    use std::time::Duration;

    fn trouble(state: &CameraState) -> Option<String> {
        state.health(&ManualMonotonicClock::default()).trouble
    }

    #[test]
    fn mostly_broken_frames_are_reported_while_they_last() {
        let state = CameraState::new("bow");
        for _ in 0..9 {
            state.count_processed(Some("truncated"));
        }
        assert_eq!(trouble(&state), None, "too few frames");
        state.count_processed(Some("truncated"));
        let expected = "10 of 10 frames cannot be used; the last: truncated";
        assert_eq!(trouble(&state).as_deref(), Some(expected));
        (0..10).for_each(|_| state.count_processed(None));
        assert_eq!(trouble(&state), None);
        assert_eq!(state.mostly_broken(false), None, "half of them");
    }

    #[test]
    fn other_trouble_is_kept() {
        let state = CameraState::new("bow");
        state.update(|h| h.trouble = Some("unplugged".into()));
        (0..20).for_each(|_| state.count_processed(None));
        assert_eq!(trouble(&state).as_deref(), Some("unplugged"));
    }

    #[test]
    fn a_camera_recovers_from_any_number_of_broken_frames() {
        let state = CameraState::new("bow");
        (0..100_000).for_each(|_| state.count_processed(Some("x")));
        (0..200).for_each(|_| state.count_processed(None));
        assert_eq!(trouble(&state), None);
        assert_eq!(state.mostly_broken(true), None, "some stills were usable");
        let said = state.mostly_broken(false).unwrap();
        assert!(
            said.starts_with("camera 'bow': 100000 of 100200 frames"),
            "{said}"
        );
    }

    #[test]
    fn the_searched_fraction_is_that_of_the_last_minute() {
        let clock = ManualMonotonicClock::default();
        let state = CameraState::new("bow");
        let frames = |count: u32, searched: u32| {
            for number in 0..count {
                clock.advance(Duration::from_millis(100));
                state.count_frame(clock.now());
                if number < searched {
                    state.searched(clock.now());
                }
            }
            state.health(&clock)
        };
        assert_eq!(frames(9, 9).searched_fraction(), None, "too few frames");
        assert_eq!(frames(1, 1).searched_fraction(), Some(1.0));
        let health = frames(30, 10);
        assert_eq!((health.recent_frames, health.recent_searched), (40, 20));
        assert_eq!(health.searched_fraction(), Some(0.5));
        clock.advance(Duration::from_secs(61));
        assert_eq!(state.health(&clock).searched_fraction(), None);
        let health = frames(20, 15);
        assert_eq!(health.searched_fraction(), Some(0.75));
        assert_eq!((health.frames, health.searched), (60, 35));
    }

    #[test]
    fn a_replay_has_no_searched_fraction() {
        let clock = ManualMonotonicClock::default();
        let state = CameraState::new("bow");
        (0..100).for_each(|_| state.searched(clock.now()));
        let health = state.health(&clock);
        assert_eq!((health.searched, health.recent_searched), (100, 0));
        assert_eq!(health.searched_fraction(), None);
    }

    #[test]
    fn the_end_of_a_short_replay_is_reported() {
        let state = CameraState::new("bow");
        state.count_processed(Some("x"));
        state.finish();
        assert!(trouble(&state).unwrap().starts_with("1 of 1 frames"));
    }
}
