//! Several cameras as one source.
//!
//! Each camera has its own thread and a slot for one frame. A live camera never waits: its newest
//! frame replaces one that was not processed yet and counts it as dropped, so that frames are never
//! stale and memory is bounded. A replay waits for the slot instead and drops nothing.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use crate::cancellation::CancellationToken;
use crate::capture::CameraState;
use crate::frame::Frame;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long to wait for a frame before [`SourceEvent::Idle`].
const IDLE_AFTER: Duration = Duration::from_millis(200);

/// A camera and its source.
pub struct CameraFeed {
    /// The camera's name in logs and errors.
    pub name: String,
    /// Where its frames come from.
    pub source: Box<dyn FrameSource>,
    /// Whether its newest frame replaces one that was not processed yet.
    pub live: bool,
    /// Where dropped frames are counted.
    pub state: Arc<CameraState>,
}

#[derive(Default)]
struct Slot {
    pending: Option<Result<Frame, SourceError>>,
    ended: bool,
    end_reported: bool,
    error: Option<SourceError>,
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
fn run_camera(number: usize, mut feed: CameraFeed, shared: &Shared) {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        while !shared.closing.is_cancelled() {
            match feed.source.next() {
                Ok(SourceEvent::Frame(frame)) => put(number, Ok(frame), &feed, shared),
                Err(invalid @ SourceError::InvalidFrame { .. }) => {
                    put(number, Err(invalid), &feed, shared)
                }
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                Ok(SourceEvent::Ended) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }));
    let ended = ended.unwrap_or_else(|_| Err(SourceError::Panicked(feed.name.clone())));
    feed.state.update(|h| match &ended {
        Ok(()) => "ended".clone_into(&mut h.state),
        Err(e) => {
            "failed".clone_into(&mut h.state);
            h.trouble = Some(e.to_string());
        }
    });
    if let Err(e) = &ended {
        tracing::error!(camera = feed.name, "camera failed: {e}");
    }
    let mut slots = shared.lock();
    if let Some(slot) = slots.get_mut(number) {
        slot.ended = true;
        slot.error = ended.err();
    }
    shared.changed.notify_all();
}

fn put(number: usize, mut event: Result<Frame, SourceError>, feed: &CameraFeed, shared: &Shared) {
    match &mut event {
        Ok(frame) => frame.camera = number,
        Err(SourceError::InvalidFrame { camera, .. }) => *camera = number,
        Err(_) => {}
    }
    let mut slots = shared.lock();
    let is_free = |slots: &Vec<Slot>| slots.get(number).is_none_or(|s| s.pending.is_none());
    while !feed.live && !is_free(&slots) {
        if shared.closing.is_cancelled() {
            return;
        }
        let waited = shared.changed.wait_timeout(slots, IDLE_AFTER);
        slots = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    // Drop the replaced frame without the lock: its memory returns to the camera.
    let replaced = slots.get_mut(number).and_then(|s| s.pending.replace(event));
    drop(slots);
    shared.changed.notify_all();
    if replaced.is_some() {
        feed.state.count_dropped();
    }
}

impl FrameSource for Cameras {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let mut slots = self.shared.lock();
        let many = slots.len().max(1);
        loop {
            for i in 0..many {
                let number = (self.turn + i) % many;
                let Some(event) = slots.get_mut(number).and_then(|s| s.pending.take()) else {
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
        let feed = CameraFeed {
            name: name.into(),
            source: Box::new(Scripted(receive)),
            live,
            state: state.clone(),
        };
        (feed, send, state)
    }

    fn frame(number: u64) -> Result<SourceEvent, SourceError> {
        Ok(SourceEvent::Frame(Frame {
            camera: 0,
            name: FrameName::Number(number),
            taken: MonotonicTimestamp(0),
            timing: Timing::Arrival,
            image: FrameImage::Encoded(vec![]),
            boxes: None,
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
        until(|| cameras.shared.lock().iter().all(|s| s.pending.is_some()));
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

    #[test]
    fn a_source_that_panics_is_a_failed_camera() {
        struct Dies;
        impl FrameSource for Dies {
            fn next(&mut self) -> Result<SourceEvent, SourceError> {
                panic!("on purpose")
            }
        }
        let (mut feed, _send, _) = feed("bow", true);
        feed.source = Box::new(Dies);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        let ended = loop {
            match cameras.next() {
                Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(SourceError::Panicked(name)) if name == "bow"));
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
