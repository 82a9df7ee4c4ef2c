use super::*;
use crate::detect::DetectError;
use crate::encounter::Grouping;
use crate::frame::{FrameName, FramePicture};
use crate::health::Health;
use crate::identify::Identifier;
use crate::outbox::{Key, Load, Queue};
use crate::position::Positions;
use crate::report::Whereabouts;
use crate::returns::Returns;
use crate::sample;
use crate::time::{ManualSteadyClock, Timekeeper};
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::embedder::Embedder;
use flukewatch_common::footage::ConfigId;
use flukewatch_common::sighting::{Part, Sighting};
use flukewatch_common::wire;
use image::{ImageFormat, RgbImage};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::io::Cursor;

const FILM: Grouping = Grouping::Film {
    gap: 1000,
    longest: 60_000,
};
const ROOM: u64 = 1 << 30;

/// A source that plays a script, 100 ms a step, and moves the clocks with it.
struct Script {
    steps: VecDeque<Step>,
    clock: Arc<ManualClock>,
    steady: Arc<ManualSteadyClock>,
    stop: Stop,
}

enum Step {
    Frame(FramePicture, Option<Vec<PixelBox>>),
    Do(Box<dyn FnMut() + Send>),
    Broken,
    Quiet,
    CameraOver,
    Fails,
    Stop,
}

impl FrameSource for Script {
    fn next(&mut self) -> Result<Next, SourceError> {
        loop {
            self.clock.advance(100);
            self.steady.advance(Duration::from_millis(100));
            return match self.steps.pop_front() {
                None => Ok(Next::Over),
                Some(Step::Frame(picture, boxes)) => Ok(Next::Frame(Frame {
                    camera: 0,
                    name: FrameName::Number(self.steps.len() as u64),
                    taken: self.steady.now(),
                    timing: Timing::Driver,
                    picture,
                    boxes,
                })),
                Some(Step::Quiet) => Ok(Next::Quiet),
                Some(Step::CameraOver) => Ok(Next::CameraOver(0)),
                Some(Step::Broken) => Err(SourceError::Broken {
                    frame: "x".into(),
                    reason: "test".into(),
                }),
                Some(Step::Fails) => Err(SourceError::Empty("camera".into())),
                Some(Step::Do(mut what)) => {
                    what();
                    continue;
                }
                Some(Step::Stop) => {
                    self.stop.ask();
                    continue;
                }
            };
        }
    }
}

fn fluke(number: u32) -> Step {
    Step::Frame(
        FramePicture::Pixels(sample::frame(number)),
        Some(vec![sample::FLUKE]),
    )
}

fn sea(frames: usize) -> impl Iterator<Item = Step> {
    // Open sea is not decoded, so that its bytes do not matter.
    (0..frames).map(|_| Step::Frame(FramePicture::Encoded(vec![]), Some(vec![])))
}

fn encoded(photo: &RgbImage) -> Vec<u8> {
    let mut file = vec![];
    photo
        .write_to(&mut Cursor::new(&mut file), ImageFormat::Jpeg)
        .unwrap();
    file
}

struct Boat {
    _folder: tempfile::TempDir,
    queue: Queue,
    counters: Arc<Counters>,
    keeper: Arc<Timekeeper>,
    clock: Arc<ManualClock>,
    steady: Arc<ManualSteadyClock>,
    watch: Watch,
}

fn health(counters: &Counters, queue: &Queue) -> Health {
    let counts = queue.counts().unwrap();
    counters.health(
        "b",
        "b",
        &Default::default(),
        counts,
        Timestamp(0),
        Default::default(),
    )
}

fn boat(grouping: Grouping, room: u64, script: impl FnOnce(&Outbox) -> Vec<Step>) -> Boat {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &sample::boat(), room).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(1_795_450_800_000)));
    let stop = Stop::default();
    let steady = Arc::new(ManualSteadyClock::new(Moment::from_millis(60_000)));
    let keeper = Arc::new(Timekeeper::new(clock.clone(), steady.clone()));
    let positions = Arc::new(Positions::new(Duration::from_secs(60), false));
    let source = Script {
        steps: script(&outbox).into(),
        clock: clock.clone(),
        steady: steady.clone(),
        stop: stop.clone(),
    };
    let bundle = sample::bundle(3);
    let embedder = Embedder::open(&bundle).unwrap();
    let random = Box::new(StdRng::seed_from_u64(5));
    let reporter = Reporter::new(
        sample::boat(),
        vec!["bow".into()],
        Identifier::new(bundle, embedder),
        Whereabouts {
            keeper: keeper.clone(),
            positions,
        },
        random,
    )
    .with_returns(Returns::new(Duration::from_secs(600)))
    .configured(ConfigId([7; 8]));
    let (counters, news) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let queue = outbox.queue().unwrap();
    let encounters = Encounters::new(grouping, 3, 0.1).for_model(8, 16);
    let watch = Watch::new(
        Box::new(source),
        vec![Watched::new(encounters, true)],
        reporter,
        outbox,
        clock.clone(),
        steady.clone(),
        counters.clone(),
        news,
        stop,
    );
    Boat {
        _folder: folder,
        queue,
        counters,
        keeper,
        clock,
        steady,
        watch,
    }
}

fn sightings(queue: &Queue) -> Vec<Sighting> {
    let keys = queue.next(&HashSet::new(), 1000).unwrap();
    keys.into_iter()
        .filter(|q| q.key.part == Part::Sighting)
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
    let boat = boat(FILM, ROOM, |_| steps);
    boat.watch.run().unwrap();
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
    let after: Vec<u32> = footage.places.iter().map(|p| p.after).collect();
    assert_eq!(after, [0, 100, 200, 300, 400]);
    assert_eq!((footage.crops.len(), footage.earlier_crops), (3, 0));
    assert_eq!((footage.detector, footage.config), (None, ConfigId([7; 8])));
    assert_eq!(footage.fault(), None);
    assert!(known.engine.starts_with("tract"), "{}", known.engine);
    let (width, height) = (known.picture.width, known.picture.height);
    assert!(
        width > sample::FLUKE.width() && height > sample::FLUKE.height(),
        "the picture shows some sea"
    );
}

#[test]
fn broken_frames_are_counted_and_passed_over() {
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
        Step::Frame(FramePicture::Encoded(truncated), here()),
        Step::Frame(FramePicture::Encoded(vec![]), here()),
        Step::Frame(FramePicture::Encoded(huge), here()),
        Step::Frame(FramePicture::Encoded(b"not a picture".to_vec()), None),
        Step::Frame(FramePicture::Pixels(sample::frame(1)), Some(vec![outside])),
        Step::Broken,
        Step::Frame(FramePicture::Encoded(whole), here()),
    ];
    let boat = boat(FILM, ROOM, |_| steps);
    boat.watch.run().unwrap();
    let health = health(&boat.counters, &boat.queue);
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
fn a_frame_that_nobody_looked_at_counts_as_a_whole() {
    let still = |number| Step::Frame(FramePicture::Pixels(sample::fluke(number)), None);
    let boat = boat(Grouping::Stills, ROOM, |_| vec![still(0), still(2)]);
    boat.watch.run().unwrap();
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
fn being_asked_to_stop_saves_the_encounter_that_is_going_on() {
    let boat = boat(FILM, ROOM, |_| {
        vec![fluke(1), Step::Stop, fluke(1), fluke(1), fluke(1)]
    });
    boat.watch.run().unwrap();
    assert_eq!(sightings(&boat.queue)[0].frames, 2);
}

#[test]
fn a_source_that_fails_is_an_error_and_its_last_encounter_is_saved() {
    let boat = boat(FILM, ROOM, |_| vec![fluke(1), Step::Fails]);
    assert!(matches!(boat.watch.run(), Err(WatchError::Source(_))));
    assert_eq!(sightings(&boat.queue).len(), 1);
}

/// Room for one picture of [`fluke`], but not for two.
fn room_for_one() -> u64 {
    let boat = boat(FILM, ROOM, |_| vec![fluke(1)]);
    boat.watch.run().unwrap();
    let bytes: u64 = boat
        .queue
        .next(&HashSet::new(), 9)
        .unwrap()
        .iter()
        .map(|q| q.bytes)
        .sum();
    bytes * 3 / 2
}

#[test]
fn while_the_outbox_is_full_sightings_wait_and_are_then_taken_in_order() {
    let boat = boat(Grouping::Stills, room_for_one(), |outbox| {
        let mut queue = outbox.queue().unwrap();
        let empty = move || {
            let keys: Vec<Key> = queue
                .next(&HashSet::new(), 9)
                .unwrap()
                .iter()
                .map(|q| q.key)
                .collect();
            assert_eq!(queue.receipted(&keys).unwrap(), 2);
        };
        let mut steps = vec![fluke(0), fluke(1), Step::Do(Box::new(empty))];
        // More than the five seconds after which the outbox is asked again.
        steps.extend(sea(60));
        steps
    });
    boat.watch.run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!(seen.iter().map(|s| s.sequence).collect::<Vec<_>>(), [2]);
    assert_eq!(seen[0].verdict, Verdict::Known { whale: "W1".into() });
    let health = health(&boat.counters, &boat.queue);
    assert_eq!(
        (health.accepted, health.in_memory, health.given_up),
        (2, 0, 0)
    );
}

#[test]
fn memory_is_bounded_and_what_is_given_up_is_counted() {
    let boat = boat(Grouping::Stills, room_for_one(), |_| {
        let mut steps: Vec<Step> = (0..MAX_IN_MEMORY as u32 + 7).map(|_| fluke(1)).collect();
        steps.push(Step::Stop);
        steps
    });
    let ended = boat.watch.run();
    assert!(
        matches!(ended, Err(WatchError::Unsaved(MAX_IN_MEMORY))),
        "{ended:?}"
    );
    let health = health(&boat.counters, &boat.queue);
    assert_eq!(
        (health.accepted, health.given_up),
        (1, MAX_IN_MEMORY as u64 + 6)
    );
    assert_eq!(
        sightings(&boat.queue).len(),
        1,
        "what was accepted is still there"
    );
}

#[test]
fn a_camera_that_falls_silent_in_an_encounter_loses_no_sighting() {
    let boat = boat(FILM, ROOM, |outbox| {
        let queue = outbox.queue().unwrap();
        let mut steps = vec![fluke(1), fluke(1)];
        // A gap of 1 s ends an encounter.
        steps.extend((0..11).map(|_| Step::Quiet));
        let reported =
            move || assert_eq!(sightings(&queue)[0].frames, 2, "while the camera is gone");
        steps.push(Step::Do(Box::new(reported)));
        steps.extend([fluke(2), fluke(2), fluke(2)]);
        steps
    });
    boat.watch.run().unwrap();
    let frames: Vec<u32> = sightings(&boat.queue).iter().map(|s| s.frames).collect();
    assert_eq!(frames, [2, 3]);
}

#[test]
fn a_clock_that_jumps_by_a_year_splits_no_encounter_and_leaves_its_dates() {
    const YEAR: i64 = 365 * 86_400_000;
    let mut boat = boat(FILM, ROOM, |_| vec![]);
    let (clock, keeper, steady) = (boat.clock.clone(), boat.keeper.clone(), boat.steady.clone());
    let began = clock.now();
    for _ in 0..5 {
        keeper.heard(began, steady.now());
    }
    let jump = Step::Do(Box::new(move || clock.advance(YEAR)));
    let steps = vec![fluke(1), fluke(1), jump, fluke(1), fluke(1)];
    boat.watch.source = Box::new(Script {
        steps: steps.into(),
        clock: boat.clock.clone(),
        steady: boat.steady.clone(),
        stop: Stop::default(),
    });
    boat.watch.run().unwrap();
    let seen = sightings(&boat.queue);
    assert_eq!((seen.len(), seen[0].frames), (1, 4));
    assert_eq!(seen[0].started.millis_since(began), 100);
    let basis = seen[0].time.unwrap();
    assert_eq!(
        basis.source,
        flukewatch_common::position::TimeSource::Satellites
    );
    assert_eq!(boat.keeper.status().clock_jumps, 1);
}

#[test]
fn garbage_from_a_live_camera_is_counted_and_costs_no_sighting() {
    let garbage = || {
        let raw = crate::frame::RawPicture {
            bytes: vec![0xff, 0xd8, 0xff, 0xe0, 1, 2, 3].into(),
            format: crate::frame::RawFormat::Jpeg,
        };
        Step::Frame(FramePicture::Raw(raw), None)
    };
    let mut steps = vec![fluke(1)];
    steps.extend((0..30).map(|_| garbage()));
    steps.extend([fluke(1), garbage()]);
    let boat = boat(Grouping::Stills, ROOM, |_| steps);
    boat.watch.run().unwrap();
    let health = health(&boat.counters, &boat.queue);
    assert_eq!(
        (health.frames, health.broken_frames, health.accepted),
        (33, 31, 2)
    );
}

#[test]
fn the_last_encounter_of_a_camera_that_is_over_does_not_wait_for_the_others() {
    let boat = boat(FILM, ROOM, |outbox| {
        let queue = outbox.queue().unwrap();
        let reported = move || assert_eq!(sightings(&queue).len(), 1);
        vec![fluke(1), Step::CameraOver, Step::Do(Box::new(reported))]
    });
    boat.watch.run().unwrap();
    assert_eq!(sightings(&boat.queue).len(), 1);
}

/// A detector that sees a fluke wherever a frame is not sea.
struct Eyes {
    score: f32,
    fails: bool,
}

impl Detect for Eyes {
    fn detect(&mut self, frame: &RgbImage, found: &mut Vec<Detection>) -> Result<(), DetectError> {
        found.clear();
        if self.fails {
            return Err(DetectError::new("the GPU is gone"));
        }
        let (x, y) = (sample::FLUKE.x0 + 2, sample::FLUKE.y0 + 2);
        if frame.get_pixel(x, y).0 != [90, 110, 130] {
            found.push(Detection {
                region: sample::FLUKE,
                score: self.score,
            });
        }
        Ok(())
    }
}

fn unlooked(picture: RgbImage) -> Step {
    Step::Frame(FramePicture::Pixels(picture), None)
}

fn open_sea() -> RgbImage {
    RgbImage::from_pixel(160, 90, image::Rgb([90, 110, 130]))
}

#[test]
fn a_detector_finds_flukes_in_frames_without_boxes() {
    // Whale 1 in six frames, whale 2 in two, which a detector that is not sure does not believe.
    let mut steps: Vec<Step> = (0..5).map(|_| unlooked(open_sea())).collect();
    steps.extend((0..6).map(|_| unlooked(sample::frame(1))));
    steps.extend((0..15).map(|_| unlooked(open_sea())));
    steps.extend((0..2).map(|_| unlooked(sample::frame(2))));
    steps.extend((0..15).map(|_| unlooked(open_sea())));
    // The boxes of a sidecar are the truth.
    steps.push(Step::Frame(
        FramePicture::Pixels(sample::frame(0)),
        Some(vec![sample::FLUKE]),
    ));
    let mut boat = boat(FILM, ROOM, |_| steps);
    let (score, fails) = (0.7, false);
    boat.watch = boat.watch.detecting(Some(Box::new(Eyes { score, fails })));
    boat.watch.run().unwrap();
    let seen = sightings(&boat.queue);
    let told: Vec<(u32, Option<f32>)> = seen
        .iter()
        .map(|s| (s.frames, s.footage.as_ref().unwrap().detector))
        .collect();
    assert_eq!(told, [(6, Some(0.7)), (1, None)]);
    assert_eq!(seen[0].verdict, Verdict::Known { whale: "W1".into() });
    assert_eq!(seen[0].region, sample::FLUKE);
}

#[test]
fn a_detector_that_fails_costs_frames_and_is_counted() {
    let mut boat = boat(FILM, ROOM, |_| {
        (0..5).map(|_| unlooked(sample::frame(1))).collect()
    });
    let (score, fails) = (0.7, true);
    boat.watch = boat.watch.detecting(Some(Box::new(Eyes { score, fails })));
    boat.watch.run().unwrap();
    let health = health(&boat.counters, &boat.queue);
    assert_eq!(
        (health.frames, health.broken_frames, health.accepted),
        (5, 5, 0)
    );
}

#[test]
fn a_whale_that_comes_back_names_its_encounter() {
    let mut steps: Vec<Step> = (0..4).map(|_| fluke(9)).collect();
    steps.extend(sea(100));
    steps.extend((0..4).map(|_| fluke(1)));
    steps.extend(sea(100));
    steps.extend((0..4).map(|_| fluke(9)));
    // Eleven minutes later.
    steps.extend(sea(6600));
    steps.extend((0..4).map(|_| fluke(9)));
    let boat = boat(FILM, ROOM, |_| steps);
    boat.watch.run().unwrap();
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
        Step::Frame(
            FramePicture::Pixels(frame),
            Some(vec![sample::FLUKE, other]),
        )
    };
    let boat = boat(FILM, ROOM, |_| (0..6).map(|_| both()).collect());
    boat.watch.run().unwrap();
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
fn a_large_frame_is_reduced_for_the_detector_and_kept_whole_for_the_crop() {
    /// Sees a dark place of frames of 960 x 540.
    struct Small;
    impl Detect for Small {
        fn detect(
            &mut self,
            frame: &RgbImage,
            found: &mut Vec<Detection>,
        ) -> Result<(), DetectError> {
            assert_eq!(frame.dimensions(), (960, 540));
            assert_eq!(frame.get_pixel(0, 0).0, [200; 3]);
            found.clear();
            let region = PixelBox {
                x0: 100,
                y0: 200,
                x1: 200,
                y1: 240,
            };
            assert_eq!(frame.get_pixel(100, 200).0, [60; 3]);
            assert_eq!(frame.get_pixel(99, 200).0, [200; 3]);
            found.push(Detection { region, score: 1.0 });
            Ok(())
        }
    }
    let raw = || {
        let mut bytes = vec![200; 1920 * 1080];
        for row in bytes.chunks_exact_mut(1920).skip(400).take(80) {
            row[200..400].fill(60);
        }
        Step::Frame(
            FramePicture::Raw(crate::frame::RawPicture {
                bytes: bytes.into(),
                format: crate::frame::RawFormat::Plain {
                    layout: crate::pixels::Layout::Grey,
                    shape: crate::pixels::Shape {
                        width: 1920,
                        height: 1080,
                        stride: 1920,
                    },
                    range: crate::pixels::Range::Full,
                },
            }),
            None,
        )
    };
    let mut boat = boat(FILM, ROOM, |_| (0..3).map(|_| raw()).collect());
    boat.watch = boat.watch.detecting(Some(Box::new(Small)));
    boat.watch.run().unwrap();
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
