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
mod tests {
    use super::*;
    use crate::frame::{FrameImage, FrameName};
    use crate::time::{MonotonicTimestamp, Timing};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A source of events sent by a test; it ends when the sender is dropped.
    struct Scripted(Receiver<Result<SourceEvent, SourceError>>);

    impl FrameSource for Scripted {
        fn next(&mut self) -> Result<SourceEvent, SourceError> {
            match self.0.recv_timeout(Duration::from_millis(50)) {
                Ok(next) => next,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Ok(SourceEvent::Idle),
                Err(_) => Ok(SourceEvent::Ended),
            }
        }
    }

    fn feed(
        name: &str,
        live: bool,
    ) -> (
        CameraFeed,
        Sender<Result<SourceEvent, SourceError>>,
        Arc<CameraState>,
    ) {
        let (send, receive) = channel();
        let state = Arc::new(CameraState::new(name));
        let mut source: Option<Box<dyn FrameSource>> = Some(Box::new(Scripted(receive)));
        let source = if live {
            restarting(move || source.take().expect("started once"))
        } else {
            FeedSource::Replay(source.take().expect("just made"))
        };
        let feed = CameraFeed {
            name: name.into(),
            source,
            state: state.clone(),
        };
        (feed, send, state)
    }

    /// A live camera that is started again after a few milliseconds.
    fn restarting(start: impl FnMut() -> Box<dyn FrameSource> + Send + 'static) -> FeedSource {
        FeedSource::Live {
            start: Box::new(start),
            backoff: Backoff::new(Duration::from_millis(4), Box::new(StdRng::seed_from_u64(1))),
        }
    }

    fn invalid(number: u64) -> Result<SourceEvent, SourceError> {
        Err(SourceError::InvalidFrame {
            camera: 9,
            frame: FrameName::Number(number).to_string(),
            reason: "truncated".into(),
        })
    }

    fn frame(number: u64) -> Result<SourceEvent, SourceError> {
        Ok(SourceEvent::Frame(Frame {
            camera: 0,
            name: FrameName::Number(number),
            taken: MonotonicTimestamp(0),
            timing: Timing::Arrival,
            image: FrameImage::Encoded(vec![]),
            boxes: None,
            encoded: vec![],
        }))
    }

    fn dropped(state: &CameraState) -> u64 {
        state
            .health(&crate::time::ManualMonotonicClock::default())
            .dropped
    }

    /// Waits for the camera's thread.
    fn until(what: impl Fn() -> bool) {
        for _ in 0..5000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("timed out");
    }

    fn take(cameras: &mut Cameras) -> Option<(usize, String)> {
        loop {
            match cameras.next().unwrap() {
                SourceEvent::Frame(frame) => return Some((frame.camera, frame.name.to_string())),
                SourceEvent::Idle | SourceEvent::CameraEnded(_) => {}
                SourceEvent::Ended => return None,
            }
        }
    }

    #[test]
    fn the_newest_frame_of_a_live_camera_takes_the_place_of_older_ones() {
        let (feed, send, state) = feed("bow", true);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        (1..=40).for_each(|n| send.send(frame(n)).unwrap());
        until(|| dropped(&state) == 39);
        assert_eq!(take(&mut cameras), Some((0, "number 40".into())));
        drop(send);
        assert_eq!(take(&mut cameras), None);
    }

    #[test]
    fn a_replay_waits_and_loses_nothing() {
        let (feed, send, state) = feed("film", false);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        (1..=40).for_each(|n| send.send(frame(n)).unwrap());
        drop(send);
        for n in 1..=40 {
            assert_eq!(take(&mut cameras), Some((0, format!("number {n}"))));
        }
        assert_eq!((take(&mut cameras), dropped(&state)), (None, 0));
    }

    #[test]
    fn no_camera_starves_another() {
        let (bow, send_bow, _) = feed("bow", false);
        let (mast, send_mast, _) = feed("mast", false);
        let mut cameras = Cameras::start(vec![bow, mast]).unwrap();
        (0..30).for_each(|n| send_bow.send(frame(n)).unwrap());
        send_mast.send(frame(99)).unwrap();
        drop((send_bow, send_mast));
        until(|| cameras.shared.lock().iter().all(|s| s.frame.is_some()));
        let mut order = vec![];
        while let Some((camera, _)) = take(&mut cameras) {
            order.push(camera);
        }
        assert_eq!(order.len(), 31);
        assert!(order[..2].contains(&1), "{order:?}");
    }

    #[test]
    fn a_failed_camera_does_not_stop_the_others_and_is_reported_at_the_end() {
        let (bow, send_bow, state) = feed("bow", true);
        let (mast, send_mast, _) = feed("mast", true);
        let mut cameras = Cameras::start(vec![bow, mast]).unwrap();
        send_bow
            .send(Err(SourceError::Empty("nowhere".into())))
            .unwrap();
        let health = || state.health(&crate::time::ManualMonotonicClock::default());
        until(|| health().state == "failed");
        assert!(health().trouble.unwrap().contains("nowhere"));
        send_mast.send(frame(1)).unwrap();
        assert_eq!(take(&mut cameras), Some((1, "number 1".into())));
        drop(send_mast);
        let ended = loop {
            match cameras.next() {
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(SourceError::Empty(_))), "{ended:?}");
    }

    #[test]
    fn the_end_of_one_camera_is_reported_once_while_the_others_go_on() {
        let (film, send_film, _) = feed("film", false);
        let (bow, send_bow, _) = feed("bow", true);
        let mut cameras = Cameras::start(vec![film, bow]).unwrap();
        send_film.send(frame(1)).unwrap();
        drop(send_film);
        let mut events = vec![];
        while events.len() < 2 {
            match cameras.next().unwrap() {
                SourceEvent::Frame(frame) => events.push(frame.name.to_string()),
                SourceEvent::CameraEnded(camera) => events.push(format!("camera {camera} ended")),
                SourceEvent::Idle => {}
                SourceEvent::Ended => panic!("the bow goes on"),
            }
        }
        assert_eq!(events, ["number 1", "camera 0 ended"]);
        send_bow.send(frame(2)).unwrap();
        assert_eq!(take(&mut cameras), Some((1, "number 2".into())));
    }

    struct Panics;

    impl FrameSource for Panics {
        fn next(&mut self) -> Result<SourceEvent, SourceError> {
            panic!("on purpose")
        }
    }

    #[test]
    fn a_replay_that_panics_is_a_failed_camera() {
        let (mut feed, _send, _) = feed("film", false);
        feed.source = FeedSource::Replay(Box::new(Panics));
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        let ended = loop {
            match cameras.next() {
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(SourceError::Panicked(name)) if name == "film"));
    }

    #[test]
    fn a_live_camera_that_panics_is_started_again_and_ends_nothing_else() {
        let (mut bow, _, state) = feed("bow", true);
        let (mast, send_mast, _) = feed("mast", true);
        let (send_bow, receive) = channel();
        let (mut starts, mut receive) = (0, Some(receive));
        bow.source = restarting(move || {
            starts += 1;
            match receive.take_if(|_| starts > 3) {
                Some(receive) => Box::new(Scripted(receive)),
                None => Box::new(Panics),
            }
        });
        let mut cameras = Cameras::start(vec![bow, mast]).unwrap();
        send_mast.send(frame(1)).unwrap();
        assert_eq!(take(&mut cameras), Some((1, "number 1".into())));
        let health = || state.health(&crate::time::ManualMonotonicClock::default());
        until(|| health().panics == 3);
        assert!(health().trouble.unwrap().contains("internal error"));
        assert!(!state.has_ended() && state.steps() >= 3);
        send_bow.send(frame(2)).unwrap();
        assert_eq!(take(&mut cameras), Some((0, "number 2".into())));
    }

    #[test]
    fn a_restart_that_is_not_due_does_not_delay_the_end() {
        let (mut bow, _, state) = feed("bow", true);
        bow.source = FeedSource::Live {
            start: Box::new(|| Box::new(Panics)),
            backoff: Backoff::new(Duration::from_secs(600), Box::new(StdRng::seed_from_u64(1))),
        };
        let cameras = Cameras::start(vec![bow]).unwrap();
        let panics = || {
            state
                .health(&crate::time::ManualMonotonicClock::default())
                .panics
        };
        until(|| panics() == 3);
        let since = Instant::now();
        drop(cameras);
        assert!(since.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_broken_frame_does_not_replace_a_good_one() {
        let (feed, send, state) = feed("bow", true);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        // A camera of which every second frame is damaged, while perception is busy.
        for number in 0..20 {
            send.send(frame(2 * number)).unwrap();
            send.send(invalid(2 * number + 1)).unwrap();
        }
        until(|| dropped(&state) == 38);
        assert_eq!(take(&mut cameras), Some((0, "number 38".into())));
        let reported = cameras.next();
        assert!(
            matches!(&reported, Err(SourceError::InvalidFrame { camera: 0, .. })),
            "{reported:?}"
        );
        drop(send);
        assert_eq!(take(&mut cameras), None);
    }

    #[test]
    fn an_invalid_frame_is_passed_on_and_idle_is_reported() {
        let (feed, send, _) = feed("bow", false);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        assert!(matches!(cameras.next(), Ok(SourceEvent::Idle)));
        let invalid = SourceError::InvalidFrame {
            camera: 9,
            frame: "x".into(),
            reason: "y".into(),
        };
        send.send(Err(invalid)).unwrap();
        let got = loop {
            match cameras.next() {
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(
            got,
            Err(SourceError::InvalidFrame { camera: 0, .. })
        ));
    }
}
