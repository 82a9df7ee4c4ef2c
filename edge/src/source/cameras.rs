//! Several cameras as one source.
//!
//! Each camera has its own thread and a slot for one frame. A live camera never waits: its newest
//! frame replaces one that was not processed yet and counts it as dropped, so that frames are never
//! stale and memory is bounded. A replay waits for the slot instead and drops nothing.
//!
//! A live camera whose thread panics is started again; nothing else ends with it.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use crate::backoff::Backoff;
use crate::cancellation::CancellationToken;
use crate::capture::CameraState;
use crate::encoded_frame::MAX_WAITING;
use crate::frame::Frame;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to wait for a frame before [`SourceEvent::Idle`].
const IDLE_AFTER: Duration = Duration::from_millis(200);
/// A source that ran for this long was not started in vain: the next delay is short again.
const STABLE_AFTER: Duration = Duration::from_secs(600);

/// Starts the source of a live camera.
pub type StartSource = Box<dyn FnMut() -> Box<dyn FrameSource> + Send>;

/// Where a camera's frames come from.
pub enum FeedSource {
    /// A live camera. Its newest frame replaces one that was not processed yet.
    Live {
        /// Starts the source: at first, and again after it panicked.
        start: StartSource,
        /// Delays before it is started again.
        backoff: Backoff,
    },
    /// A replay. It drops nothing, and cannot be started again.
    Replay(Box<dyn FrameSource>),
}

/// A camera and its source.
pub struct CameraFeed {
    /// The camera's name in logs and errors.
    pub name: String,
    /// Where its frames come from.
    pub source: FeedSource,
    /// Where dropped frames and panics are counted.
    pub state: Arc<CameraState>,
}

/// What a camera has ready: a frame, and a report of one that cannot be used. They do not replace
/// each other, so that a camera with many broken frames delivers its good ones.
#[derive(Default)]
struct Slot {
    frame: Option<Frame>,
    invalid: Option<SourceError>,
    ended: bool,
    end_reported: bool,
    error: Option<SourceError>,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.frame.is_none() && self.invalid.is_none()
    }

    /// Returns whether an older frame was there. What its camera sent with it is kept for
    /// clips, up to a limit beyond which they have a gap.
    fn replace(&mut self, mut frame: Frame) -> bool {
        let Some(mut older) = self.frame.take() else {
            self.frame = Some(frame);
            return false;
        };
        if older.encoded.len() < MAX_WAITING {
            older.encoded.append(&mut frame.encoded);
            frame.encoded = older.encoded;
        }
        self.frame = Some(frame);
        true
    }

    fn take(&mut self) -> Option<Result<Frame, SourceError>> {
        let frame = self.frame.take().map(Ok);
        frame.or_else(|| self.invalid.take().map(Err))
    }
}

struct Shared {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
    closing: CancellationToken,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Running cameras, read as one source.
pub struct Cameras {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The camera to look at first, so that none starves another.
    turn: usize,
}

impl Cameras {
    /// Starts a thread for each of `feeds`; frames get the feed's index. Threads end when this is
    /// dropped, or with their sources.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(feeds: Vec<CameraFeed>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slots: Mutex::new(feeds.iter().map(|_| Slot::default()).collect()),
            changed: Condvar::new(),
            closing: CancellationToken::default(),
        });
        let mut cameras = Self {
            shared: shared.clone(),
            threads: vec![],
            turn: 0,
        };
        for (number, feed) in feeds.into_iter().enumerate() {
            let shared = shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("camera {}", feed.name))
                .spawn(move || run_camera(number, feed, &shared))?;
            cameras.threads.push(thread);
        }
        Ok(cameras)
    }
}

/// A camera's thread: moves frames from its source to its slot.
fn run_camera(number: usize, feed: CameraFeed, shared: &Shared) {
    let CameraFeed {
        name,
        source,
        state,
    } = feed;
    let outlet = Outlet {
        number,
        live: matches!(source, FeedSource::Live { .. }),
        state: &state,
        shared,
    };
    let ended = match source {
        FeedSource::Live { start, backoff } => run_live(&name, &outlet, start, backoff),
        FeedSource::Replay(mut source) => {
            let ended = catch_unwind(AssertUnwindSafe(|| outlet.forward(&mut *source)));
            ended.unwrap_or_else(|_| Err(SourceError::Panicked(name.clone())))
        }
    };
    state.update(|h| match &ended {
        Ok(()) => "ended".clone_into(&mut h.state),
        Err(e) => {
            "failed".clone_into(&mut h.state);
            h.trouble = Some(e.to_string());
        }
    });
    if let Err(e) = &ended {
        tracing::error!(camera = name, "camera failed: {e}");
    }
    let mut slots = shared.lock();
    if let Some(slot) = slots.get_mut(number) {
        slot.ended = true;
        slot.error = ended.err();
    }
    shared.changed.notify_all();
}

/// Runs a live camera until it ends or fails. Where its source panics, a new one is started after a
/// delay that grows.
fn run_live(
    name: &str,
    outlet: &Outlet<'_>,
    mut start: StartSource,
    mut backoff: Backoff,
) -> Result<(), SourceError> {
    loop {
        let started = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let mut source = start();
            outlet.forward(&mut *source)
        }));
        if let Ok(ended) = ended {
            return ended;
        }
        if started.elapsed() >= STABLE_AFTER {
            backoff.reset();
        }
        let delay = backoff.next_delay();
        tracing::error!(
            camera = name,
            ?delay,
            "camera thread panicked; restarting it"
        );
        outlet.state.update(|h| {
            h.panics += 1;
            "disconnected".clone_into(&mut h.state);
            h.trouble = Some(
                "internal error: the camera's thread panicked and is restarted; please report it with the log".into(),
            );
        });
        if !outlet.pause(delay) {
            return Ok(());
        }
    }
}

/// Where a camera's thread puts its frames.
struct Outlet<'a> {
    number: usize,
    live: bool,
    state: &'a CameraState,
    shared: &'a Shared,
}

impl Outlet<'_> {
    /// Moves frames until the source ends or fails, or is not needed any more.
    fn forward(&self, source: &mut dyn FrameSource) -> Result<(), SourceError> {
        while !self.shared.closing.is_cancelled() {
            match source.next() {
                Ok(SourceEvent::Frame(mut frame)) => {
                    frame.camera = self.number;
                    self.put(|slot| slot.replace(frame));
                }
                Err(SourceError::InvalidFrame { frame, reason, .. }) => {
                    let invalid = SourceError::InvalidFrame {
                        camera: self.number,
                        frame,
                        reason,
                    };
                    self.put(|slot| slot.invalid.replace(invalid).is_some());
                }
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                Ok(SourceEvent::Ended) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Changes the slot, in a replay once it is free. `replace` returns whether something was
    /// replaced.
    fn put(&self, replace: impl FnOnce(&mut Slot) -> bool) {
        let mut slots = self.shared.lock();
        let is_free = |slots: &Vec<Slot>| slots.get(self.number).is_none_or(Slot::is_free);
        while !self.live && !is_free(&slots) {
            if self.shared.closing.is_cancelled() {
                return;
            }
            let waited = self.shared.changed.wait_timeout(slots, IDLE_AFTER);
            slots = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let replaced = slots.get_mut(self.number).is_some_and(replace);
        drop(slots);
        self.shared.changed.notify_all();
        if replaced {
            self.state.count_dropped();
        }
    }

    /// Waits, with signs of life for the watchdog; `false` when the camera is not needed any more.
    fn pause(&self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        loop {
            self.state.beat();
            if self.shared.closing.is_cancelled() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(IDLE_AFTER));
        }
    }
}

impl FrameSource for Cameras {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let mut slots = self.shared.lock();
        let many = slots.len().max(1);
        loop {
            for i in 0..many {
                let number = (self.turn + i) % many;
                let Some(event) = slots.get_mut(number).and_then(Slot::take) else {
                    continue;
                };
                self.turn = (number + 1) % many;
                self.shared.changed.notify_all();
                return event.map(SourceEvent::Frame);
            }
            if let Some(number) = slots.iter().position(|s| s.ended && !s.end_reported) {
                if let Some(slot) = slots.get_mut(number) {
                    slot.end_reported = true;
                }
                return Ok(SourceEvent::CameraEnded(number));
            }
            if slots.iter().all(|s| s.ended) {
                let failed = slots.iter_mut().find_map(|s| s.error.take());
                return failed.map_or(Ok(SourceEvent::Ended), Err);
            }
            let waited = self.shared.changed.wait_timeout(slots, IDLE_AFTER);
            let (relocked, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            slots = relocked;
            if timed_out.timed_out() {
                return Ok(SourceEvent::Idle);
            }
        }
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
