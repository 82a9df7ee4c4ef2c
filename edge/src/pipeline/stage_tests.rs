//! What happens to the other stages, and to what is recorded, when one is slow, fails, panics or hangs.

use super::tests::{
    Boat, ROOM, Step, VIDEO, boat, eventually, fluke, health, identify, sea, seeded, sightings,
};
use super::*;
use crate::capture::CameraState;
use crate::detect::DetectError;
use crate::detector_meter::{DetectorMeter, MeasuredDetector};
use crate::encounter::{Encounters, Grouping};
use crate::frame::FrameImage;
use crate::gate::{Gate, GateSettings};
use crate::identification::{IdentifyError, Identity, MAX_ATTEMPTS};
use crate::recorder::NOT_YET;
use crate::recording::Recording;
use crate::sample;
use crate::time::ManualMonotonicClock;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::detection::Detection;
use flukewatch_inference::engine::status::EngineStatus;
use image::RgbImage;
use rusqlite::Connection;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// Whales that were seen, one encounter each.
fn surfacings(whales: &[u32]) -> Vec<Step> {
    let mut steps = vec![];
    for whale in whales {
        steps.extend((0..3).map(|_| fluke(*whale)));
        steps.extend(sea(15));
    }
    steps
}

fn known(whale: u32) -> Verdict {
    Verdict::Known {
        whale: format!("W{whale}"),
    }
}

/// Identifies, after `before` has had its way.
struct Disturbed<F> {
    before: F,
    inner: Box<dyn Identify>,
}

impl<F: FnMut(&Recording) -> Result<(), IdentifyError> + Send> Identify for Disturbed<F> {
    fn identify(&mut self, recording: &Recording) -> Result<Identity, IdentifyError> {
        (self.before)(recording)?;
        self.inner.identify(recording)
    }

    fn remember(&mut self, recording: &Recording, identity: &Identity) {
        self.inner.remember(recording, identity);
    }
}

fn disturbed(
    before: impl FnMut(&Recording) -> Result<(), IdentifyError> + Send + 'static,
) -> Box<dyn Identify> {
    Box::new(Disturbed {
        before,
        inner: identify(),
    })
}

/// Lets a test hold up the identification.
fn held_up() -> (std::sync::mpsc::Sender<()>, Box<dyn Identify>) {
    let (go_on, wait) = channel();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let identify = disturbed(move |_| {
        let _ = wait.lock().unwrap().recv();
        Ok(())
    });
    (go_on, identify)
}

#[test]
fn encounters_are_recorded_while_one_is_identified() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[0, 1, 2, 9]));
    let (go_on, slow) = held_up();
    boat.parts.identify = slow;
    let Boat {
        parts,
        mut queue,
        counters,
        folder,
        ..
    } = boat;
    let running = Mutex::new(Pipeline::new(parts).start().unwrap());
    let supervised = |what: &dyn Fn() -> bool| {
        eventually(|| {
            running.lock().unwrap().supervise();
            what()
        });
    };
    supervised(&|| running.lock().unwrap().is_recorded());
    let health = health(&counters);
    assert_eq!((health.accepted, health.identified), (4, 0));
    assert_eq!(queue.counts().unwrap().unidentified, 4);
    assert_eq!(sightings(&queue), [], "they are held");
    let recordings = std::fs::read_dir(folder.path().join("recordings")).unwrap();
    assert_eq!(recordings.count(), 4);

    // Shore learns of what takes too long.
    assert_eq!(queue.release_held(Timestamp(0)).unwrap(), 0);
    assert_eq!(queue.release_held(Timestamp(i64::MAX)).unwrap(), 8);
    let not_yet = Verdict::Unidentified {
        reason: NOT_YET.into(),
    };
    let seen = sightings(&queue);
    assert!(seen.iter().all(|s| s.verdict == not_yet && s.revision == 0));

    (0..4).for_each(|_| go_on.send(()).unwrap());
    supervised(&|| running.lock().unwrap().is_identified().unwrap());
    let seen = sightings(&queue);
    let verdicts: Vec<_> = seen
        .iter()
        .map(|s| (s.verdict.clone(), s.revision))
        .collect();
    let expected = [known(0), known(1), known(2), Verdict::New];
    assert_eq!(verdicts, expected.map(|verdict| (verdict, 1)));
    running.into_inner().unwrap().stop().unwrap();
}

#[test]
fn an_encounter_that_cannot_be_identified_arrives_with_the_reason() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[1, 2]));
    let mut first = None;
    boat.parts.identify = disturbed(move |recording| {
        let id = recording.sighting.id;
        if *first.get_or_insert(id) == id {
            Err(IdentifyError::NoCrop)
        } else {
            Ok(())
        }
    });
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let reason = "the encounter has no crop".to_owned();
    assert_eq!(seen[0].verdict, Verdict::Unidentified { reason });
    assert_eq!(seen[1].verdict, known(2));
    assert_eq!((seen[0].sequence, seen[1].sequence), (1, 2));
    let health = health(&boat.counters);
    assert_eq!(
        (health.accepted, health.identified, health.failed_encounters),
        (2, 1, 1)
    );
}

#[test]
fn an_identification_that_panics_is_restarted_and_tries_again() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[1, 2]));
    boat.parts.identify = disturbed(|_| panic!("the driver is gone"));
    let stages = boat.parts.stages.clone();
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!([&seen[0].verdict, &seen[1].verdict], [&known(1), &known(2)]);
    let stage = stages.identification.health();
    assert_eq!(stage.restarts, 1);
    assert_eq!(
        stage.last_failure.as_deref(),
        Some("internal error: the driver is gone")
    );
}

#[test]
fn an_encounter_that_always_panics_is_given_up() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[1]));
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    let panics = move || {
        let count = count.clone();
        disturbed(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("cannot be borne")
        })
    };
    boat.parts.identify = panics();
    boat.parts.open_identify = Box::new(move || Ok(panics()));
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let reason = "3 attempts to identify it did not end".to_owned();
    assert_eq!(seen[0].verdict, Verdict::Unidentified { reason });
    assert_eq!(tried.load(Ordering::SeqCst), MAX_ATTEMPTS as usize);
}

#[test]
fn a_verdict_that_the_outbox_does_not_take_is_tried_until_it_does() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[1]));
    let database = boat.parts.outbox.folder().join("outbox.sqlite3");
    let mut tried = 0;
    boat.parts.identify = disturbed(move |_| {
        let connection = Connection::open(&database).unwrap();
        // No verdict can be saved; giving up can.
        if tried == 0 {
            connection
                .execute_batch(
                    "CREATE TRIGGER failing BEFORE UPDATE OF stage ON recording WHEN NEW.stage = 1
                     BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END",
                )
                .unwrap();
        } else if tried == MAX_ATTEMPTS {
            connection.execute_batch("DROP TRIGGER failing").unwrap();
        }
        tried += 1;
        Ok(())
    });
    Pipeline::new(boat.parts).run().unwrap();
    assert_eq!(sightings(&boat.queue)[0].verdict, known(1));
}

#[test]
fn an_identification_that_hangs_is_replaced() {
    let mut boat = boat(VIDEO, ROOM, |_| surfacings(&[1]));
    let (go_on, hung) = held_up();
    boat.parts.identify = hung;
    let clock = Arc::new(ManualMonotonicClock::default());
    let stages = Stages::new(&(clock.clone() as Arc<dyn MonotonicClock>));
    boat.parts.stages = stages.clone();
    let mut running = Pipeline::new(boat.parts).start().unwrap();
    let stage = stages.identification;
    while stage.busy_for().is_none() {
        running.supervise();
        std::thread::yield_now();
    }
    clock.advance(Duration::from_secs(61));
    running.supervise();
    assert_eq!(stage.health().restarts, 1);
    // The pause before it is started again.
    clock.advance(Duration::from_secs(2));
    while !running.is_identified().unwrap() {
        running.supervise();
        std::thread::yield_now();
    }
    // The first one wakes: its verdict comes too late.
    go_on.send(()).unwrap();
    running.stop().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let seen = sightings(&boat.queue);
    assert_eq!((&seen[0].verdict, seen[0].revision), (&known(1), 1));
}

#[test]
fn what_was_not_identified_is_after_a_restart() {
    let folder = {
        let mut boat = boat(VIDEO, ROOM, |_| {
            let mut steps = surfacings(&[1, 2]);
            steps.push(Step::Stop);
            steps
        });
        boat.parts.identify = disturbed(|_| Err(IdentifyError::NoCrop));
        // It never begins: the pipeline is cancelled before it is supervised.
        let running = Pipeline::new(boat.parts).start().unwrap();
        eventually(|| running.is_recorded());
        running.stop().unwrap();
        assert_eq!(boat.queue.counts().unwrap().unidentified, 2);
        boat.folder
    };
    let mut boat = seeded(6, VIDEO, ROOM, |_| surfacings(&[0]));
    boat.parts.outbox =
        Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch()).unwrap();
    let queue = boat.parts.outbox.queue().unwrap();
    Pipeline::new(boat.parts).run().unwrap();
    let verdicts: Vec<Verdict> = sightings(&queue).into_iter().map(|s| s.verdict).collect();
    assert_eq!(verdicts, [known(1), known(2), known(0)]);
}

#[test]
fn a_disk_that_hangs_blinds_no_camera_and_what_is_lost_is_counted() {
    // More than wait for the recorder.
    let many = MAX_CLOSED + 9;
    let boat = boat(Grouping::Stills, ROOM, |outbox| {
        let database = outbox.folder().join("outbox.sqlite3");
        let blocker = Arc::new(Mutex::new(None));
        let (block, unblock) = (blocker.clone(), blocker);
        let mut steps = vec![Step::Do(Box::new(move || {
            let connection = Connection::open(&database).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            *block.lock().unwrap() = Some(connection);
        }))];
        steps.extend((0..many).map(|_| fluke(1)));
        steps.push(Step::Do(Box::new(move || {
            *unblock.lock().unwrap() = None;
        })));
        steps
    });
    Pipeline::new(boat.parts).run().unwrap();
    let health = health(&boat.counters);
    let lost = boat.counters.unrecorded_encounters();
    let seen = many as u64;
    assert_eq!((health.frames, health.encounters), (seen, seen));
    assert_eq!(health.accepted + lost.encounters, seen);
    // One is with the recorder.
    assert!((MAX_CLOSED as u64..=MAX_CLOSED as u64 + 1).contains(&health.accepted));
    assert_eq!(lost.started.len() as u64, lost.encounters);
    let sequences: Vec<u64> = sightings(&boat.queue).iter().map(|s| s.sequence).collect();
    assert_eq!(sequences, (1..=health.accepted).collect::<Vec<_>>());
}

#[test]
fn perception_survives_a_frame_that_panics() {
    /// Finds a fluke in each frame, and panics at one.
    struct Mine(u32);
    impl Detect for Mine {
        fn detect(
            &mut self,
            _: &RgbImage,
            detections: &mut Vec<Detection>,
        ) -> Result<(), DetectError> {
            self.0 += 1;
            assert_ne!(self.0, 6, "a mine");
            detections.clear();
            detections.push(Detection {
                region: sample::FLUKE,
                score: 0.9,
            });
            Ok(())
        }
    }
    let mut boat = boat(VIDEO, ROOM, |_| {
        (0..11)
            .map(|_| Step::Frame(FrameImage::Pixels(sample::frame(1)), None))
            .collect()
    });
    boat.parts.detector = Some(Box::new(Mine(0)));
    let stages = boat.parts.stages.clone();
    Pipeline::new(boat.parts).run().unwrap();
    let frames: Vec<u32> = sightings(&boat.queue).iter().map(|s| s.frames).collect();
    assert_eq!(frames, [5, 5]);
    let health = health(&boat.counters);
    assert_eq!((health.frames, health.broken_frames), (11, 1));
    assert_eq!(stages.perception.health().restarts, 1);
}

#[test]
fn what_an_outbox_does_not_accept_is_handed_to_the_next_one() {
    let mut boat = boat(Grouping::Stills, 1, |_| {
        vec![fluke(1), fluke(2), Step::Stop]
    });
    boat.parts.cameras[0].live = false;
    let running = Pipeline::new(boat.parts).start().unwrap();
    eventually(|| running.is_recorded());
    let unsaved = running.stop().unwrap().unsaved;
    assert_eq!(unsaved.len(), 2);
    let mut next = seeded(6, Grouping::Stills, ROOM, |_| vec![fluke(0)]);
    next.parts.unsaved = unsaved;
    Pipeline::new(next.parts).run().unwrap();
    let verdicts: Vec<Verdict> = sightings(&next.queue)
        .into_iter()
        .map(|s| s.verdict)
        .collect();
    assert_eq!(verdicts, [known(1), known(2), known(0)]);
}

/// Fails on its second frame, and finds nothing.
struct FailsOnce(u32);

impl Detect for FailsOnce {
    fn detect(&mut self, _: &RgbImage, detections: &mut Vec<Detection>) -> Result<(), DetectError> {
        self.0 += 1;
        detections.clear();
        match self.0 {
            2 => Err(DetectError::new("broken")),
            _ => Ok(()),
        }
    }
}

#[test]
fn frames_that_the_gate_takes_for_open_sea_count_as_searched_and_failed_ones_do_not() {
    let sea = || {
        let pixels = RgbImage::from_pixel(160, 90, image::Rgb([90, 110, 130]));
        Step::Frame(FrameImage::Pixels(pixels), None)
    };
    let mut steps: Vec<Step> = (0..38).map(|_| sea()).collect();
    steps.extend([Step::InvalidFrame, sea()]);
    let mut boat = boat(VIDEO, ROOM, |_| steps);
    let state = Arc::new(CameraState::new("bow"));
    let encounters = Encounters::new(VIDEO, 3, 0.1).for_model(8, 16);
    let gate = Gate::new(GateSettings::default());
    let camera = PerceptionCamera::new(encounters, true).with_gate(Some(gate));
    boat.parts.cameras = vec![camera.with_state(state.clone())];
    let meter = Arc::new(DetectorMeter::new(boat.monotonic.clone()));
    boat.parts.detector = Some(Box::new(MeasuredDetector {
        detector: FailsOnce(0),
        meter: meter.clone(),
    }));
    Pipeline::new(boat.parts).run().unwrap();
    let detector = meter.health(&EngineStatus::default());
    assert!(
        (12..30).contains(&detector.frames),
        "the gate closed: {detector:?}"
    );
    assert_eq!((detector.errors, detector.recent_errors), (1, 1));
    // Of 40 frames, the detector failed on one and one is broken.
    let health = state.health(&*boat.monotonic);
    assert_eq!((health.searched, health.broken), (38, 2));
}
