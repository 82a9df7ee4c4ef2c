//! A sign of life of the watch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Counted on by the watch with every step, read by the watchdog.
#[derive(Debug, Default)]
pub struct Pulse {
    steps: AtomicU64,
    waiting: AtomicBool,
    resting: AtomicBool,
}

impl Pulse {
    /// The watch asks its source for the next frame.
    pub fn waits(&self) {
        self.resting.store(false, Relaxed);
        self.waiting.store(true, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// The watch has a frame, or another word of its source, and works on it.
    pub fn works(&self) {
        self.waiting.store(false, Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    /// There are no more frames to look at.
    pub fn rests(&self) {
        self.resting.store(true, Relaxed);
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Whether the watch waits for its source.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    /// Whether there is nothing for it to do.
    pub fn is_resting(&self) -> bool {
        self.resting.load(Relaxed)
    }
}
