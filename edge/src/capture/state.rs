//! How a camera is doing, for health.

use crate::time::{Moment, SteadyClock};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What health says of a camera. Counts are since the program started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraHealth {
    /// Its name in the configuration.
    pub name: String,
    /// `waiting` (not opened yet), `streaming`, `stalled`, `lost`, `replaying`, `over` or `failed`.
    pub state: String,
    /// What is wrong, where something is.
    pub trouble: Option<String>,
    /// What it sends, as `1920 x 1080 MJPEG at 30 a second`.
    pub mode: Option<String>,
    /// Frames that a live camera gave.
    pub frames: u64,
    /// Frames that were replaced by newer ones before anybody could look at them.
    pub dropped: u64,
    /// Frames that never left the driver, by the gaps in its count.
    pub missed: u64,
    /// Frames that the driver called damaged, or that were empty.
    pub damaged: u64,
    /// How often it was lost and came back, or was started anew after a stall.
    pub restarts: u64,
    /// How long ago its last frame was taken, in milliseconds.
    pub last_frame_milliseconds_ago: Option<u64>,
}

/// Written by the camera's thread, read by the monitor.
#[derive(Debug, Default)]
pub struct CameraState {
    held: Mutex<(CameraHealth, Option<Moment>)>,
    steps: AtomicU64,
}

impl CameraState {
    /// The state of the camera `name`, from which nothing has come yet.
    pub fn new(name: &str) -> Self {
        let health = CameraHealth {
            name: name.to_owned(),
            state: "waiting".to_owned(),
            ..CameraHealth::default()
        };
        Self {
            held: Mutex::new((health, None)),
            steps: AtomicU64::new(0),
        }
    }

    /// Its thread lives: whatever it was told to do last, it has come back from.
    pub fn lives(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    /// A number that counts on while its thread lives.
    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Whether it is over, or has failed for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.held().0.state.as_str(), "over" | "failed")
    }

    /// Changes what health will say.
    pub fn update(&self, change: impl FnOnce(&mut CameraHealth)) {
        change(&mut self.held().0);
    }

    /// A frame came that was taken at `taken`.
    pub fn frame(&self, taken: Moment) {
        let mut held = self.held();
        held.0.frames += 1;
        held.1 = Some(taken);
    }

    /// A frame was replaced by a newer one.
    pub fn dropped(&self) {
        self.held().0.dropped += 1;
    }

    /// What health says now.
    pub fn health(&self, clock: &dyn SteadyClock) -> CameraHealth {
        let held = self.held();
        let (health, last) = &*held;
        let ago = last.map(|l| u64::try_from(clock.now().millis_since(l)).unwrap_or(0));
        CameraHealth {
            last_frame_milliseconds_ago: ago,
            ..health.clone()
        }
    }

    fn held(&self) -> MutexGuard<'_, (CameraHealth, Option<Moment>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
