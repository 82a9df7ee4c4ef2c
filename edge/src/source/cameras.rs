//! Several cameras, or one live one, as one source.
//!
//! Each camera works on a thread of its own and leaves its frames in a slot that holds one. A live camera never waits: its newest
//! frame takes the place of one that nobody has looked at yet, which is counted, so that what is looked at is never old and memory
//! never grows. A replay waits instead, and loses nothing.

use super::{FrameSource, Next, SourceError};
use crate::capture::CameraState;
use crate::frame::Frame;
use crate::stop::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the slots are waited for before [`Next::Quiet`] is said.
const QUIET: Duration = Duration::from_millis(200);

/// One camera that is to be watched.
pub struct Feed {
    /// Its name.
    pub name: String,
    /// What gives its frames.
    pub source: Box<dyn FrameSource>,
    /// Whether its newest frame replaces older ones.
    pub live: bool,
    /// Where dropped frames are counted.
    pub state: Arc<CameraState>,
}

#[derive(Default)]
struct Slot {
    waiting: Option<Result<Frame, SourceError>>,
    over: bool,
    /// Whether its end was said.
    told: bool,
    failed: Option<SourceError>,
}

struct Shared {
    slots: Mutex<Vec<Slot>>,
    changed: Condvar,
    closing: Stop,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cameras at work.
pub struct Cameras {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Whose turn it is, so that no camera starves another.
    turn: usize,
}

impl Cameras {
    /// Starts a thread for each of `feeds`; their frames bear the number that they have in it. They end when this is dropped, or with
    /// their sources.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(feeds: Vec<Feed>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slots: Mutex::new(feeds.iter().map(|_| Slot::default()).collect()),
            changed: Condvar::new(),
            closing: Stop::default(),
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
                .spawn(move || work(number, feed, &shared))?;
            cameras.threads.push(thread);
        }
        Ok(cameras)
    }
}

/// A camera's thread: from its source to its slot.
fn work(number: usize, mut feed: Feed, shared: &Shared) {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        while !shared.closing.asked() {
            match feed.source.next() {
                Ok(Next::Frame(frame)) => put(number, Ok(frame), &feed, shared),
                Err(broken @ SourceError::Broken { .. }) => put(number, Err(broken), &feed, shared),
                Ok(Next::Quiet | Next::CameraOver(_)) => {}
                Ok(Next::Over) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }));
    let ended = ended.unwrap_or_else(|_| Err(SourceError::Died(feed.name.clone())));
    feed.state.update(|h| match &ended {
        Ok(()) => "over".clone_into(&mut h.state),
        Err(e) => {
            "failed".clone_into(&mut h.state);
            h.trouble = Some(e.to_string());
        }
    });
    if let Err(e) = &ended {
        tracing::error!(
            camera = feed.name,
            "a camera has failed; the others go on: {e}"
        );
    }
    let mut slots = shared.held();
    if let Some(slot) = slots.get_mut(number) {
        slot.over = true;
        slot.failed = ended.err();
    }
    shared.changed.notify_all();
}

fn put(number: usize, mut event: Result<Frame, SourceError>, feed: &Feed, shared: &Shared) {
    if let Ok(frame) = &mut event {
        frame.camera = number;
    }
    let mut slots = shared.held();
    let taken = |slots: &Vec<Slot>| slots.get(number).is_none_or(|s| s.waiting.is_none());
    while !feed.live && !taken(&slots) {
        if shared.closing.asked() {
            return;
        }
        let waited = shared.changed.wait_timeout(slots, QUIET);
        slots = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    // What is replaced is dropped only after the lock: its memory goes back to the camera.
    let replaced = slots.get_mut(number).and_then(|s| s.waiting.replace(event));
    drop(slots);
    shared.changed.notify_all();
    if replaced.is_some() {
        feed.state.dropped();
    }
}

impl FrameSource for Cameras {
    fn next(&mut self) -> Result<Next, SourceError> {
        let mut slots = self.shared.held();
        let many = slots.len().max(1);
        loop {
            for i in 0..many {
                let number = (self.turn + i) % many;
                let Some(event) = slots.get_mut(number).and_then(|s| s.waiting.take()) else {
                    continue;
                };
                self.turn = (number + 1) % many;
                self.shared.changed.notify_all();
                return event.map(Next::Frame);
            }
            if let Some(number) = slots.iter().position(|s| s.over && !s.told) {
                if let Some(slot) = slots.get_mut(number) {
                    slot.told = true;
                }
                return Ok(Next::CameraOver(number));
            }
            if slots.iter().all(|s| s.over) {
                let failed = slots.iter_mut().find_map(|s| s.failed.take());
                return failed.map_or(Ok(Next::Over), Err);
            }
            let waited = self.shared.changed.wait_timeout(slots, QUIET);
            let (held, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            slots = held;
            if timed_out.timed_out() {
                return Ok(Next::Quiet);
            }
        }
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.shared.closing.ask();
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that died has said so already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameName, FramePicture};
    use crate::time::{Moment, Timing};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A source whose events a test sends; over once the sender is gone.
    struct Told(Receiver<Result<Next, SourceError>>);

    impl FrameSource for Told {
        fn next(&mut self) -> Result<Next, SourceError> {
            match self.0.recv_timeout(Duration::from_millis(50)) {
                Ok(next) => next,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Ok(Next::Quiet),
                Err(_) => Ok(Next::Over),
            }
        }
    }

    fn feed(name: &str, live: bool) -> (Feed, Sender<Result<Next, SourceError>>, Arc<CameraState>) {
        let (send, receive) = channel();
        let state = Arc::new(CameraState::new(name));
        let feed = Feed {
            name: name.into(),
            source: Box::new(Told(receive)),
            live,
            state: state.clone(),
        };
        (feed, send, state)
    }

    fn frame(number: u64) -> Result<Next, SourceError> {
        Ok(Next::Frame(Frame {
            camera: 0,
            name: FrameName::Number(number),
            taken: Moment(0),
            timing: Timing::Arrival,
            picture: FramePicture::Encoded(vec![]),
            boxes: None,
        }))
    }

    fn dropped(state: &CameraState) -> u64 {
        state
            .health(&crate::time::ManualSteadyClock::default())
            .dropped
    }

    /// Waits until the camera's thread has done what it must.
    fn until(what: impl Fn() -> bool) {
        for _ in 0..5000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it never happens");
    }

    fn take(cameras: &mut Cameras) -> Option<(usize, String)> {
        loop {
            match cameras.next().unwrap() {
                Next::Frame(frame) => return Some((frame.camera, frame.name.to_string())),
                Next::Quiet | Next::CameraOver(_) => {}
                Next::Over => return None,
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
        let mut order = vec![];
        while let Some((camera, _)) = take(&mut cameras) {
            order.push(camera);
        }
        assert_eq!(order.len(), 31);
        assert!(order[..12].contains(&1), "{order:?}");
    }

    #[test]
    fn a_camera_that_fails_does_not_stop_the_others_and_is_told_at_the_end() {
        let (bow, send_bow, state) = feed("bow", true);
        let (mast, send_mast, _) = feed("mast", true);
        let mut cameras = Cameras::start(vec![bow, mast]).unwrap();
        send_bow
            .send(Err(SourceError::Empty("nowhere".into())))
            .unwrap();
        let health = || state.health(&crate::time::ManualSteadyClock::default());
        until(|| health().state == "failed");
        assert!(health().trouble.unwrap().contains("nowhere"));
        send_mast.send(frame(1)).unwrap();
        assert_eq!(take(&mut cameras), Some((1, "number 1".into())));
        drop(send_mast);
        let ended = loop {
            match cameras.next() {
                Ok(Next::Quiet | Next::CameraOver(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(SourceError::Empty(_))), "{ended:?}");
    }

    #[test]
    fn the_end_of_one_camera_is_said_once_while_the_others_go_on() {
        let (film, send_film, _) = feed("film", false);
        let (bow, send_bow, _) = feed("bow", true);
        let mut cameras = Cameras::start(vec![film, bow]).unwrap();
        send_film.send(frame(1)).unwrap();
        drop(send_film);
        let mut said = vec![];
        while said.len() < 2 {
            match cameras.next().unwrap() {
                Next::Frame(frame) => said.push(frame.name.to_string()),
                Next::CameraOver(camera) => said.push(format!("camera {camera} is over")),
                Next::Quiet => {}
                Next::Over => panic!("the bow goes on"),
            }
        }
        assert_eq!(said, ["number 1", "camera 0 is over"]);
        send_bow.send(frame(2)).unwrap();
        assert_eq!(take(&mut cameras), Some((1, "number 2".into())));
    }

    #[test]
    fn a_source_that_panics_is_a_failed_camera() {
        struct Dies;
        impl FrameSource for Dies {
            fn next(&mut self) -> Result<Next, SourceError> {
                panic!("on purpose")
            }
        }
        let (mut feed, _send, _) = feed("bow", true);
        feed.source = Box::new(Dies);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        let ended = loop {
            match cameras.next() {
                Ok(Next::Quiet | Next::CameraOver(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(ended, Err(SourceError::Died(name)) if name == "bow"));
    }

    #[test]
    fn a_broken_frame_is_passed_on_and_quiet_is_said() {
        let (feed, send, _) = feed("bow", false);
        let mut cameras = Cameras::start(vec![feed]).unwrap();
        assert!(matches!(cameras.next(), Ok(Next::Quiet)));
        let broken = SourceError::Broken {
            frame: "x".into(),
            reason: "y".into(),
        };
        send.send(Err(broken)).unwrap();
        let got = loop {
            match cameras.next() {
                Ok(Next::Quiet | Next::CameraOver(_)) => {}
                other => break other,
            }
        };
        assert!(matches!(got, Err(SourceError::Broken { .. })));
    }
}
