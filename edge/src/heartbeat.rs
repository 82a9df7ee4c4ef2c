//! The heartbeat of perception, read by the watchdog.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Advanced by perception with every step.
#[derive(Debug, Default)]
pub struct Heartbeat {
    steps: AtomicU64,
    waiting: AtomicBool,
    finished: AtomicBool,
}

impl Heartbeat {
    /// Perception waits for its source's next frame.
    pub fn waiting(&self) {
        self.finished.store(false, Relaxed);
        self.waiting.store(true, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// Perception works on what its source gave.
    pub fn processing(&self) {
        self.waiting.store(false, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// The source has no more frames.
    pub fn finished(&self) {
        self.finished.store(true, Relaxed);
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Whether perception waits for its source.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    /// Whether the source has no more frames.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Relaxed)
    }
}
