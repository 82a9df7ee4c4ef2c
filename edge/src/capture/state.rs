//! The state of a camera, for health.

use crate::time::{MonotonicClock, MonotonicTimestamp};
use serde::{Deserialize, Serialize};
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
    /// Reconnections, and restarts after a stall.
    pub restarts: u64,
    /// The age of its last frame, in milliseconds.
    pub last_frame_milliseconds_ago: Option<u64>,
}

/// Written by the camera's thread, read by the monitor.
#[derive(Debug, Default)]
pub struct CameraState {
    held: Mutex<(CameraHealth, Option<MonotonicTimestamp>)>,
    steps: AtomicU64,
}

impl CameraState {
    /// The state of the camera `name` before it is opened.
    pub fn new(name: &str) -> Self {
        let health = CameraHealth {
            name: name.to_owned(),
            state: "connecting".to_owned(),
            ..CameraHealth::default()
        };
        Self {
            held: Mutex::new((health, None)),
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
        matches!(self.lock().0.state.as_str(), "ended" | "failed")
    }

    /// Changes the health document.
    pub fn update(&self, change: impl FnOnce(&mut CameraHealth)) {
        change(&mut self.lock().0);
    }

    /// Counts a frame taken at `taken`.
    pub fn count_frame(&self, taken: MonotonicTimestamp) {
        let mut held = self.lock();
        held.0.frames += 1;
        held.1 = Some(taken);
    }

    /// Counts a frame replaced by a newer one.
    pub fn count_dropped(&self) {
        self.lock().0.dropped += 1;
    }

    /// The camera in the health document now.
    pub fn health(&self, clock: &dyn MonotonicClock) -> CameraHealth {
        let held = self.lock();
        let (health, last) = &*held;
        let ago = last.map(|l| u64::try_from(clock.now().millis_since(l)).unwrap_or(0));
        CameraHealth {
            last_frame_milliseconds_ago: ago,
            ..health.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, (CameraHealth, Option<MonotonicTimestamp>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
