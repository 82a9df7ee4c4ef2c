use super::*;
use crate::detect::DetectError;
use crate::encounter::{Encounters, Grouping};
use crate::frame::Frame;
use crate::frame::{FrameImage, FrameName};
use crate::health::{Health, InputHealth};
use crate::identification::{Identifier, RecentEncounters, WhaleIdentifier};
use crate::outbox::{Key, Load, Queue};
use crate::position::PositionHistory;
use crate::recorder::{MAX_IN_MEMORY, TimeAndPosition};
use crate::sample;
use crate::source::SourceEvent;
use crate::time::{ManualMonotonicClock, MonotonicTimestamp, Timing, UtcClock};
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::decision::Verdict;
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::ConfigId;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use flukewatch_inference::embedder::Embedder;
use image::{ImageFormat, RgbImage};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{HashSet, VecDeque};
use std::io::Cursor;

pub(super) const VIDEO: Grouping = Grouping::Video {
    gap: 1000,
    longest: 60_000,
};
pub(super) const ROOM: u64 = 1 << 30;

/// A source that plays a script, 100 ms per step, and advances the clocks.
pub(super) struct Script {
    steps: VecDeque<Step>,
    clock: Arc<ManualClock>,
    monotonic: Arc<ManualMonotonicClock>,
    stop: CancellationToken,
}

pub(super) enum Step {
    Frame(FrameImage, Option<Vec<PixelBox>>),
    Do(Box<dyn FnMut() + Send>),
    InvalidFrame,
    Idle,
    CameraEnded,
    Fails,
    Stop,
}

impl FrameSource for Script {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            self.clock.advance(100);
            self.monotonic.advance(Duration::from_millis(100));
            return match self.steps.pop_front() {
                None => Ok(SourceEvent::Ended),
                Some(Step::Frame(image, boxes)) => Ok(SourceEvent::Frame(Frame {
                    camera: 0,
                    name: FrameName::Number(self.steps.len() as u64),
                    taken: self.monotonic.now(),
                    timing: Timing::Driver,
                    image,
                    boxes,
                    encoded: vec![],
                })),
                Some(Step::Idle) => Ok(SourceEvent::Idle),
                Some(Step::CameraEnded) => Ok(SourceEvent::CameraEnded(0)),
                Some(Step::InvalidFrame) => Err(SourceError::InvalidFrame {
                    camera: 0,
                    frame: "x".into(),
                    reason: "test".into(),
                }),
                Some(Step::Fails) => Err(SourceError::Empty("camera".into())),
                Some(Step::Do(mut what)) => {
                    what();
                    continue;
                }
                Some(Step::Stop) => {
                    self.stop.cancel();
                    continue;
                }
            };
        }
    }
}

pub(super) fn fluke(number: u32) -> Step {
    Step::Frame(
        FrameImage::Pixels(sample::frame(number)),
        Some(vec![sample::FLUKE]),
    )
}

pub(super) fn sea(frames: usize) -> impl Iterator<Item = Step> {
    // Open sea is not decoded; its bytes do not matter.
    (0..frames).map(|_| Step::Frame(FrameImage::Encoded(vec![]), Some(vec![])))
}

fn encoded(photo: &RgbImage) -> Vec<u8> {
    let mut file = vec![];
    photo
        .write_to(&mut Cursor::new(&mut file), ImageFormat::Jpeg)
        .unwrap();
    file
}

pub(super) struct Boat {
    pub(super) folder: tempfile::TempDir,
    pub(super) queue: Queue,
    pub(super) counters: Arc<Counters>,
    utc_clock: Arc<UtcClock>,
    clock: Arc<ManualClock>,
    pub(super) monotonic: Arc<ManualMonotonicClock>,
    pub(super) parts: PipelineParts,
}

pub(super) fn health(counters: &Counters) -> Health {
    Health::of(counters, InputHealth::default())
}

pub(super) fn boat(
    grouping: Grouping,
    room: u64,
    script: impl FnOnce(&Outbox) -> Vec<Step>,
) -> Boat {
    seeded(5, grouping, room, script)
}

/// The same with other random ids.
pub(super) fn seeded(
    seed: u64,
    grouping: Grouping,
    room: u64,
    script: impl FnOnce(&Outbox) -> Vec<Step>,
) -> Boat {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &sample::boat(), room, sample::epoch()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let stop = CancellationToken::default();
    let monotonic = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        60_000,
    )));
    let utc_clock = Arc::new(UtcClock::new(clock.clone(), monotonic.clone()));
    let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), false));
    let source = Script {
        steps: script(&outbox).into(),
        clock: clock.clone(),
        monotonic: monotonic.clone(),
        stop: stop.clone(),
    };
    let random = Box::new(StdRng::seed_from_u64(seed));
    let time_and_position = TimeAndPosition {
        utc_clock: utc_clock.clone(),
        positions,
    };
    let new_sightings = NewSightings::new(
        sample::boat(),
        vec!["bow".into()],
        time_and_position,
        random,
    )
    .with_config(ConfigId([7; 8]));
    let (counters, accepted) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let queue = outbox.queue().unwrap();
    let encounters = Encounters::new(grouping, 3, 0.1).for_model(8, 16);
    let parts = PipelineParts {
        source: Box::new(source),
        cameras: vec![PerceptionCamera::new(encounters, true)],
        detector: None,
        grey: false,
        new_sightings,
        unsaved: vec![],
        clips: None,
        identify: identify(),
        open_identify: Box::new(|| Ok(identify())),
        outbox,
        clock: clock.clone(),
        monotonic: monotonic.clone(),
        counters: counters.clone(),
        stages: Stages::default(),
        accepted,
        stop,
    };
    Boat {
        folder,
        queue,
        counters,
        utc_clock,
        clock,
        monotonic,
        parts,
    }
}

/// Identifies with the sample bundle.
pub(super) fn identify() -> Box<dyn Identify> {
    let bundle = sample::bundle(3);
    let embedder = Embedder::open(&bundle).unwrap();
    let recent = RecentEncounters::new(Duration::from_secs(600));
    Box::new(WhaleIdentifier::new(
        Identifier::new(bundle, embedder),
        recent,
    ))
}

/// Waits for what another stage does.
pub(super) fn eventually(what: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("timed out");
}

pub(super) fn sightings(queue: &Queue) -> Vec<Sighting> {
    let keys = queue.next(&HashSet::new(), 1000).unwrap();
    keys.into_iter()
        .filter(|q| q.key.part == MessageKind::Sighting)
        .map(|q| match queue.load(q.key).unwrap() {
            Load::Message(message) => wire::decode(&message).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn encounters_become_sightings() {
    let mut steps: Vec<Step> = sea(3).collect();
    steps.extend((0..5).map(|_| fluke(1)));
    steps.extend(sea(15));
    steps.extend((0..4).map(|_| fluke(9)));
    let boat = boat(VIDEO, ROOM, |_| steps);
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!(seen.len(), 2);
    let (known, new) = (&seen[0], &seen[1]);
    assert_eq!((known.sequence, new.sequence), (1, 2));
    assert_eq!((known.frames, new.frames), (5, 4));
    assert_eq!(known.ended.millis_since(known.started), 400);
    assert_eq!(known.verdict, Verdict::Known { whale: "W1".into() });
    assert!(known.candidates[0].score > 0.99 && known.candidates.len() == 3);
    assert_eq!(new.verdict, Verdict::New);
    assert_eq!(known.region, sample::FLUKE);
    assert_ne!(known.id, new.id);
    assert_eq!(known.id.get_version_num(), 7);
    assert_eq!(known.bundle, sample::bundle(3).id());
    let footage = known.footage.as_ref().unwrap();
    assert_eq!(footage.encounter, known.id);
    assert_eq!((footage.frame.width, footage.frame.height), (160, 90));
    let after: Vec<u32> = footage.boxes.iter().map(|p| p.after).collect();
    assert_eq!(after, [0, 100, 200, 300, 400]);
    assert_eq!((footage.crops.len(), footage.earlier_crops), (3, 0));
    assert_eq!((footage.detector, footage.config), (None, ConfigId([7; 8])));
    assert_eq!(footage.validate(), Ok(()));
    assert!(known.engine.starts_with("tract"), "{}", known.engine);
    let (width, height) = (known.picture.width, known.picture.height);
    assert!(
        width > sample::FLUKE.width() && height > sample::FLUKE.height(),
        "the picture shows some sea"
    );
}

#[test]
fn invalid_frames_are_counted_and_skipped() {
    let whole = encoded(&sample::frame(1));
    let truncated = whole[..whole.len() / 3].to_vec();
    // A PNG header that announces 20,000 x 20,000 pixels.
    let huge =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x4e\x20\0\0\x4e\x20\x08\x02\0\0\0\x4a\x28\x5e\x0b"
            .to_vec();
    let outside = PixelBox {
        x0: 900,
        y0: 0,
        x1: 990,
        y1: 50,
    };
    let here = || Some(vec![sample::FLUKE]);
    let steps = vec![
        fluke(1),
        Step::Frame(FrameImage::Encoded(truncated), here()),
        Step::Frame(FrameImage::Encoded(vec![]), here()),
        Step::Frame(FrameImage::Encoded(huge), here()),
        Step::Frame(FrameImage::Encoded(b"not a picture".to_vec()), None),
        Step::Frame(FrameImage::Pixels(sample::frame(1)), Some(vec![outside])),
        Step::InvalidFrame,
        Step::Frame(FrameImage::Encoded(whole), here()),
    ];
    let boat = boat(VIDEO, ROOM, |_| steps);
    Pipeline::new(boat.parts).run().unwrap();
    let health = health(&boat.counters);
    assert_eq!(
        (
            health.frames,
            health.broken_frames,
            health.encounters,
            health.accepted
        ),
        (8, 6, 1, 1)
    );
    let seen = sightings(&boat.queue);
    assert_eq!(
        (seen[0].frames, &seen[0].verdict),
        (2, &Verdict::Known { whale: "W1".into() })
    );
}

#[test]
fn without_boxes_or_detector_the_whole_frame_counts() {
    let still = |number| Step::Frame(FrameImage::Pixels(sample::fluke(number)), None);
    let boat = boat(Grouping::Stills, ROOM, |_| vec![still(0), still(2)]);
    Pipeline::new(boat.parts).run().unwrap();
    let whales: Vec<Verdict> = sightings(&boat.queue)
        .into_iter()
        .map(|s| s.verdict)
        .collect();
    assert_eq!(
        whales,
        ["W0", "W2"].map(|whale| Verdict::Known {
            whale: whale.into()
        })
    );
}

#[test]
fn cancellation_saves_the_open_encounter() {
    let boat = boat(VIDEO, ROOM, |_| {
        vec![fluke(1), Step::Stop, fluke(1), fluke(1), fluke(1)]
    });
    Pipeline::new(boat.parts).run().unwrap();
    assert_eq!(sightings(&boat.queue)[0].frames, 2);
}

#[test]
fn a_source_that_fails_is_an_error_and_its_last_encounter_is_saved() {
    let boat = boat(VIDEO, ROOM, |_| vec![fluke(1), Step::Fails]);
    assert!(matches!(
        Pipeline::new(boat.parts).run(),
        Err(PipelineError::Source(_))
    ));
    assert_eq!(sightings(&boat.queue).len(), 1);
}

/// Room for one encounter of [`fluke`], but not for two.
fn room_for_one() -> u64 {
    let boat = boat(VIDEO, ROOM, |_| vec![fluke(1)]);
    Pipeline::new(boat.parts).run().unwrap();
    let pending = boat.queue.next(&HashSet::new(), 9).unwrap();
    let recordings = boat.folder.path().join("recordings");
    let recordings = std::fs::read_dir(recordings).unwrap();
    let recorded = recordings.map(|entry| entry.unwrap().metadata().unwrap().len());
    let bytes: u64 = pending.iter().map(|q| q.bytes).chain(recorded).sum();
    bytes * 3 / 2
}

#[test]
fn sightings_wait_for_a_full_outbox_and_keep_their_order() {
    let boat = boat(Grouping::Stills, room_for_one(), |outbox| {
        let mut queue = outbox.queue().unwrap();
        let empty = move || {
            // Identified.
            eventually(|| queue.next(&HashSet::new(), 9).unwrap().len() == 2);
            let keys: Vec<Key> = queue
                .next(&HashSet::new(), 9)
                .unwrap()
                .iter()
                .map(|q| q.key)
                .collect();
            assert_eq!(queue.acknowledge(&keys).unwrap(), 2);
        };
        let mut steps = vec![fluke(0), fluke(1), Step::Do(Box::new(empty))];
        // More than the five seconds after which the outbox is retried.
        steps.extend(sea(60));
        steps
    });
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!(seen.iter().map(|s| s.sequence).collect::<Vec<_>>(), [2]);
    assert_eq!(seen[0].verdict, Verdict::Known { whale: "W1".into() });
    let health = health(&boat.counters);
    assert_eq!(
        (
            health.accepted,
            health.sightings_in_memory,
            health.dropped_sightings
        ),
        (2, 0, 0)
    );
}

#[test]
fn memory_is_bounded_and_dropped_sightings_are_counted() {
    let mut boat = boat(Grouping::Stills, room_for_one(), |_| {
        let mut steps: Vec<Step> = (0..MAX_IN_MEMORY as u32 + 7).map(|_| fluke(1)).collect();
        steps.push(Step::Stop);
        steps
    });
    // It waits for the recorder.
    boat.parts.cameras[0].live = false;
    let ended = Pipeline::new(boat.parts).run();
    assert!(
        matches!(ended, Err(PipelineError::Unsaved(MAX_IN_MEMORY))),
        "{ended:?}"
    );
    let health = health(&boat.counters);
    assert_eq!(
        (health.accepted, health.dropped_sightings),
        (1, MAX_IN_MEMORY as u64 + 6)
    );
    assert_eq!(
        sightings(&boat.queue).len(),
        1,
        "accepted sightings are kept"
    );
}

#[test]
fn a_camera_that_stops_during_an_encounter_loses_no_sighting() {
    let boat = boat(VIDEO, ROOM, |outbox| {
        let queue = outbox.queue().unwrap();
        let mut steps = vec![fluke(1), fluke(1)];
        // A gap of 1 s ends an encounter.
        steps.extend((0..11).map(|_| Step::Idle));
        let while_the_camera_is_gone =
            move || eventually(|| sightings(&queue).first().is_some_and(|s| s.frames == 2));
        steps.push(Step::Do(Box::new(while_the_camera_is_gone)));
        steps.extend([fluke(2), fluke(2), fluke(2)]);
        steps
    });
    Pipeline::new(boat.parts).run().unwrap();
    let frames: Vec<u32> = sightings(&boat.queue).iter().map(|s| s.frames).collect();
    assert_eq!(frames, [2, 3]);
}

#[test]
fn a_jump_of_the_system_clock_changes_neither_encounters_nor_times() {
    const YEAR: i64 = 365 * 86_400_000;
    let mut boat = boat(VIDEO, ROOM, |_| vec![]);
    let (clock, utc_clock, monotonic) = (
        boat.clock.clone(),
        boat.utc_clock.clone(),
        boat.monotonic.clone(),
    );
    let began = clock.now();
    for _ in 0..5 {
        utc_clock.update_gnss(began, monotonic.now());
    }
    let jump = Step::Do(Box::new(move || clock.advance(YEAR)));
    let steps = vec![fluke(1), fluke(1), jump, fluke(1), fluke(1)];
    boat.parts.source = Box::new(Script {
        steps: steps.into(),
        clock: boat.clock.clone(),
        monotonic: boat.monotonic.clone(),
        stop: CancellationToken::default(),
    });
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!((seen.len(), seen[0].frames), (1, 4));
    assert_eq!(seen[0].started.millis_since(began), 100);
    let basis = seen[0].time.unwrap();
    assert_eq!(basis.source, flukewatch_common::position::TimeSource::Gnss);
    assert_eq!(boat.utc_clock.status().clock_jumps, 1);
}

#[test]
fn garbage_from_a_live_camera_loses_no_sighting() {
    let garbage = || {
        let raw = crate::frame::RawImage {
            bytes: vec![0xff, 0xd8, 0xff, 0xe0, 1, 2, 3].into(),
            format: crate::frame::RawFormat::Jpeg,
        };
        Step::Frame(FrameImage::Raw(raw), None)
    };
    let mut steps = vec![fluke(1)];
    steps.extend((0..30).map(|_| garbage()));
    steps.extend([fluke(1), garbage()]);
    let boat = boat(Grouping::Stills, ROOM, |_| steps);
    Pipeline::new(boat.parts).run().unwrap();
    let health = health(&boat.counters);
    assert_eq!(
        (health.frames, health.broken_frames, health.accepted),
        (33, 31, 2)
    );
}

#[test]
fn the_last_encounter_of_an_ended_camera_is_reported_at_once() {
    let boat = boat(VIDEO, ROOM, |outbox| {
        let queue = outbox.queue().unwrap();
        let reported = move || eventually(|| sightings(&queue).len() == 1);
        vec![fluke(1), Step::CameraEnded, Step::Do(Box::new(reported))]
    });
    Pipeline::new(boat.parts).run().unwrap();
    assert_eq!(sightings(&boat.queue).len(), 1);
}

/// Detects a fluke in every frame that is not sea.
struct SceneDetector {
    score: f32,
    fails: bool,
}

impl Detect for SceneDetector {
    fn detect(
        &mut self,
        frame: &RgbImage,
        detections: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        detections.clear();
        if self.fails {
            return Err(DetectError::new("the GPU is gone"));
        }
        let (x, y) = (sample::FLUKE.x0 + 2, sample::FLUKE.y0 + 2);
        if frame.get_pixel(x, y).0 != [90, 110, 130] {
            detections.push(Detection {
                region: sample::FLUKE,
                score: self.score,
            });
        }
        Ok(())
    }
}

fn without_boxes(picture: RgbImage) -> Step {
    Step::Frame(FrameImage::Pixels(picture), None)
}

fn open_sea() -> RgbImage {
    RgbImage::from_pixel(160, 90, image::Rgb([90, 110, 130]))
}

#[test]
fn a_detector_finds_flukes_in_frames_without_boxes() {
    // Whale 1 in six frames, and whale 2 in two, which are not enough.
    let mut steps: Vec<Step> = (0..5).map(|_| without_boxes(open_sea())).collect();
    steps.extend((0..6).map(|_| without_boxes(sample::frame(1))));
    steps.extend((0..15).map(|_| without_boxes(open_sea())));
    steps.extend((0..2).map(|_| without_boxes(sample::frame(2))));
    steps.extend((0..15).map(|_| without_boxes(open_sea())));
    // The boxes of a sidecar are the truth.
    steps.push(Step::Frame(
        FrameImage::Pixels(sample::frame(0)),
        Some(vec![sample::FLUKE]),
    ));
    let mut boat = boat(VIDEO, ROOM, |_| steps);
    let (score, fails) = (0.7, false);
    boat.parts.detector = Some(Box::new(SceneDetector { score, fails }));
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let counts: Vec<(u32, Option<f32>)> = seen
        .iter()
        .map(|s| (s.frames, s.footage.as_ref().unwrap().detector))
        .collect();
    assert_eq!(counts, [(6, Some(0.7)), (1, None)]);
    assert_eq!(seen[0].verdict, Verdict::Known { whale: "W1".into() });
    assert_eq!(seen[0].region, sample::FLUKE);
}

#[test]
fn frames_of_a_failing_detector_are_counted_as_invalid() {
    let mut boat = boat(VIDEO, ROOM, |_| {
        (0..5).map(|_| without_boxes(sample::frame(1))).collect()
    });
    let (score, fails) = (0.7, true);
    boat.parts.detector = Some(Box::new(SceneDetector { score, fails }));
    Pipeline::new(boat.parts).run().unwrap();
    let health = health(&boat.counters);
    assert_eq!(
        (health.frames, health.broken_frames, health.accepted),
        (5, 5, 0)
    );
}

#[test]
fn a_whale_that_resurfaces_continues_its_encounter() {
    let mut steps: Vec<Step> = (0..4).map(|_| fluke(9)).collect();
    steps.extend(sea(100));
    steps.extend((0..4).map(|_| fluke(1)));
    steps.extend(sea(100));
    steps.extend((0..4).map(|_| fluke(9)));
    // Eleven minutes later.
    steps.extend(sea(6600));
    steps.extend((0..4).map(|_| fluke(9)));
    let boat = boat(VIDEO, ROOM, |_| steps);
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let of: Vec<(Option<usize>, u8)> = seen
        .iter()
        .map(|s| {
            let footage = s.footage.as_ref().unwrap();
            let first = seen.iter().position(|o| o.id == footage.encounter);
            (first, footage.earlier_crops)
        })
        .collect();
    assert_eq!(of, [(Some(0), 0), (Some(1), 0), (Some(0), 3), (Some(3), 0)]);
}

#[test]
fn two_flukes_in_a_frame_are_two_sightings() {
    let other = PixelBox {
        x0: 110,
        y0: 50,
        x1: 158,
        y1: 82,
    };
    let both = || {
        let mut frame = sample::frame(1);
        let small = image::imageops::thumbnail(&sample::fluke(2), 48, 32);
        image::imageops::replace(&mut frame, &small, 110, 50);
        Step::Frame(FrameImage::Pixels(frame), Some(vec![sample::FLUKE, other]))
    };
    let boat = boat(VIDEO, ROOM, |_| (0..6).map(|_| both()).collect());
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let regions: Vec<PixelBox> = seen.iter().map(|s| s.region).collect();
    assert_eq!(regions, [sample::FLUKE, other]);
    let encounters: HashSet<_> = seen
        .iter()
        .map(|s| s.footage.as_ref().unwrap().encounter)
        .collect();
    assert_eq!(encounters.len(), 2);
    assert_eq!(seen[0].verdict, Verdict::Known { whale: "W1".into() });
}

#[test]
fn a_large_frame_is_downscaled_for_the_detector_and_not_for_the_crop() {
    /// Detects a dark region in frames of 960 x 540.
    struct Small;
    impl Detect for Small {
        fn detect(
            &mut self,
            frame: &RgbImage,
            detections: &mut Vec<Detection>,
        ) -> Result<(), DetectError> {
            assert_eq!(frame.dimensions(), (960, 540));
            assert_eq!(frame.get_pixel(0, 0).0, [200; 3]);
            detections.clear();
            let region = PixelBox {
                x0: 100,
                y0: 200,
                x1: 200,
                y1: 240,
            };
            assert_eq!(frame.get_pixel(100, 200).0, [60; 3]);
            assert_eq!(frame.get_pixel(99, 200).0, [200; 3]);
            detections.push(Detection { region, score: 1.0 });
            Ok(())
        }
    }
    let raw = || {
        let mut bytes = vec![200; 1920 * 1080];
        for row in bytes.chunks_exact_mut(1920).skip(400).take(80) {
            row[200..400].fill(60);
        }
        Step::Frame(
            FrameImage::Raw(crate::frame::RawImage {
                bytes: bytes.into(),
                format: crate::frame::RawFormat::Uncompressed {
                    layout: crate::pixel_format::PixelLayout::Grey,
                    shape: crate::pixel_format::Shape {
                        width: 1920,
                        height: 1080,
                        stride: 1920,
                    },
                    range: crate::pixel_format::ColourRange::Full,
                },
            }),
            None,
        )
    };
    let mut boat = boat(VIDEO, ROOM, |_| (0..3).map(|_| raw()).collect());
    boat.parts.detector = Some(Box::new(Small));
    Pipeline::new(boat.parts).run().unwrap();
    let seen = sightings(&boat.queue);
    let region = PixelBox {
        x0: 200,
        y0: 400,
        x1: 400,
        y1: 480,
    };
    assert_eq!((seen.len(), seen[0].region), (1, region));
    // A tenth of sea on either side.
    assert_eq!((seen[0].picture.width, seen[0].picture.height), (242, 98));
}

/// A JPEG, and the same with its last two thirds missing or overwritten but its end marker in place.
fn with_damage_inside(picture: &RgbImage) -> [Vec<u8>; 3] {
    let whole = encoded(picture);
    let third = whole.len() * 2 / 3;
    let halved = [&whole[..third], b"\xff\xd9"].concat();
    let mut overwritten = whole.clone();
    overwritten[third..third + 60].fill(0);
    [whole, halved, overwritten]
}

#[test]
fn a_frame_damaged_inside_neither_starts_nor_continues_an_encounter() {
    use crate::frame::{RawFormat, RawImage};
    let of_camera = |file: &[u8]| {
        FrameImage::Raw(RawImage {
            bytes: file.to_vec().into(),
            format: RawFormat::Jpeg,
        })
    };
    let [whole, halved, overwritten] = with_damage_inside(&sample::frame(1));
    for raw in [true, false] {
        let with = |bytes: &[u8]| {
            let image = if raw {
                of_camera(bytes)
            } else {
                FrameImage::Encoded(bytes.to_vec())
            };
            Step::Frame(image, Some(vec![sample::FLUKE]))
        };
        let mut steps = vec![with(&halved), with(&overwritten)];
        steps.extend((0..3).map(|_| with(&whole)));
        // Longer than the gap of 1 s, which they do not bridge.
        steps.extend((0..12).map(|i| with([&halved, &overwritten][i % 2])));
        steps.extend((0..4).map(|_| with(&whole)));
        steps.extend((0..5).map(|_| with(&halved)));
        let boat = boat(VIDEO, ROOM, |_| steps);
        Pipeline::new(boat.parts).run().unwrap();
        let seen = sightings(&boat.queue);
        let of: Vec<(u32, i64, &Verdict)> = seen
            .iter()
            .map(|s| (s.frames, s.ended.millis_since(s.started), &s.verdict))
            .collect();
        let known = Verdict::Known { whale: "W1".into() };
        assert_eq!(of, [(3, 200, &known), (4, 300, &known)]);
        let health = health(&boat.counters);
        assert_eq!((health.frames, health.broken_frames), (26, 19));
    }
}

#[test]
fn a_still_damaged_inside_is_no_sighting() {
    let [whole, halved, overwritten] = with_damage_inside(&sample::fluke(2));
    let steps =
        [halved, overwritten, whole].map(|file| Step::Frame(FrameImage::Encoded(file), None));
    let boat = boat(Grouping::Stills, ROOM, |_| steps.into());
    Pipeline::new(boat.parts).run().unwrap();
    assert_eq!(sightings(&boat.queue).len(), 1);
    assert_eq!(health(&boat.counters).broken_frames, 2);
}

#[test]
fn a_camera_s_frame_without_a_fluke_is_not_checked_for_damage() {
    use crate::frame::{RawFormat, RawImage};
    struct Nothing;
    impl Detect for Nothing {
        fn detect(
            &mut self,
            _: &RgbImage,
            detections: &mut Vec<Detection>,
        ) -> Result<(), DetectError> {
            detections.clear();
            Ok(())
        }
    }
    let [_, halved, _] = with_damage_inside(&sample::frame(1));
    let raw = FrameImage::Raw(RawImage {
        bytes: halved.into(),
        format: RawFormat::Jpeg,
    });
    let mut boat = boat(VIDEO, ROOM, |_| vec![Step::Frame(raw, None)]);
    boat.parts.detector = Some(Box::new(Nothing));
    Pipeline::new(boat.parts).run().unwrap();
    assert_eq!(health(&boat.counters).broken_frames, 0);
}
