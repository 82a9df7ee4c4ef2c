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
    let (feed, send, state) = feed("video", false);
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
    let (video, send_video, _) = feed("video", false);
    let (bow, send_bow, _) = feed("bow", true);
    let mut cameras = Cameras::start(vec![video, bow]).unwrap();
    send_video.send(frame(1)).unwrap();
    drop(send_video);
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
    let (mut feed, _send, _) = feed("video", false);
    feed.source = FeedSource::Replay(Box::new(Panics));
    let mut cameras = Cameras::start(vec![feed]).unwrap();
    let ended = loop {
        match cameras.next() {
            Ok(SourceEvent::Idle | SourceEvent::CameraEnded(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(ended, Err(SourceError::Panicked(name)) if name == "video"));
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
