//! Live cameras over a stand-in for `gst-launch-1.0`.

use super::*;
use crate::capture::CameraHealth;
use crate::capture::gstreamer::stand_in::{STAND_IN, TIMEOUT, options};
use crate::capture::gstreamer::{self, PipelineOptions};
use crate::frame::RawFormat;
use crate::pixels::Decoder;
use crate::source::{CameraFeed, Cameras, FeedSource, FrameSource};
use crate::time::ManualMonotonicClock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

/// Whether all processes that wrote their number into `file` are gone; so many they must be.
fn gone(file: &Path, many: usize) -> bool {
    let all = std::fs::read_to_string(file).unwrap();
    assert_eq!(all.lines().count(), many, "{all}");
    all.lines()
        .all(|pid| !Path::new("/proc").join(pid).exists())
}

/// Live cameras over the stand-in that wait no real time between attempts.
struct Bench {
    clock: Arc<ManualMonotonicClock>,
    state: Arc<CameraState>,
    stop: CancellationToken,
    timeout: Duration,
}

impl Bench {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
                100_000,
            ))),
            state: Arc::new(CameraState::new("bow")),
            stop: CancellationToken::default(),
            timeout: TIMEOUT,
        }
    }

    fn camera(&self, pipeline: &str) -> LiveCamera {
        let (slept, clock, stop) = (self.clock.clone(), self.clock.clone(), self.stop.clone());
        let deps = LiveDependencies {
            open: Box::new(move |address| {
                let CameraAddress::Pipeline(pipeline) = address else {
                    panic!("expected a pipeline");
                };
                let options = PipelineOptions {
                    clock: clock.clone(),
                    stop: stop.clone(),
                    ..options(STAND_IN)
                };
                Ok(gstreamer::open(pipeline, options))
            }),
            backoff: Backoff::new(Duration::from_secs(4), Box::new(StdRng::seed_from_u64(3))),
            clock: self.clock.clone(),
            sleep: Box::new(move |time| slept.advance(time)),
            state: self.state.clone(),
            stop: self.stop.clone(),
        };
        let settings = LiveSettings {
            address: CameraAddress::Pipeline(pipeline.parse().unwrap()),
            requested: RequestedMode {
                width: 1920,
                height: 1080,
                rate: 10.0,
            },
            controls: Controls::default(),
            timeout: self.timeout,
        };
        LiveCamera::new(settings, deps)
    }

    fn health(&self) -> CameraHealth {
        self.state.health(&*self.clock)
    }
}

/// The next frame, which must come after no more than `quiet` waits.
fn frame_after(camera: &mut LiveCamera, quiet: usize) -> Frame {
    for _ in 0..=quiet {
        if let SourceEvent::Frame(frame) = camera.next().unwrap() {
            return frame;
        }
    }
    panic!("no frame after {quiet} waits");
}

fn brightness(frame: Frame) -> u8 {
    let pixels = Decoder::new(false).decode_rgb(frame.image).unwrap();
    pixels.get_pixel(1, 1).0[0]
}

#[test]
fn a_failing_pipeline_is_retried_and_health_has_the_error() {
    let bench = Bench::new();
    let mut camera = bench.camera("say:'no such sensor' exit:3");
    for _ in 0..200 {
        assert!(matches!(camera.next().unwrap(), SourceEvent::Idle));
    }
    let health = bench.health();
    let why = "the pipeline ended before its first frame (exit status: 3: no such sensor)";
    assert_eq!(
        (health.state.as_str(), health.trouble.as_deref()),
        ("disconnected", Some(why))
    );
    assert!(
        bench
            .clock
            .now()
            .since(MonotonicTimestamp::from_millis(100_000))
            > Duration::from_secs(10),
        "the backoff must grow"
    );
}

#[test]
fn a_stream_that_ends_or_hangs_is_restarted_and_no_process_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let mut bench = Bench::new();
    let mut camera = bench.camera(&format!("pid:{} head:8x4 frame:235 exit:0", file.display()));
    for _ in 0..3 {
        assert_eq!(brightness(frame_after(&mut camera, 60)), 255);
    }
    drop(camera);
    assert!(gone(&file, 3));
    let health = bench.health();
    assert_eq!(
        (health.frames, health.restarts, health.state.as_str()),
        (3, 2, "streaming")
    );

    std::fs::remove_file(&file).unwrap();
    // All at once, so that a slow machine does not make a frame late.
    let film = folder.path().join("film.y4m");
    let head = b"YUV4MPEG2 W8 H4 F30:1 C420\nFRAME\n".as_slice();
    std::fs::write(&film, [head, &[16; 48]].concat()).unwrap();
    bench.timeout = Duration::from_millis(300);
    let mut camera = bench.camera(&format!(
        "pid:{} file:{} hang",
        file.display(),
        film.display()
    ));
    for _ in 0..3 {
        assert_eq!(brightness(frame_after(&mut camera, 60)), 0);
    }
    assert!(matches!(camera.next().unwrap(), SourceEvent::Idle));
    let health = bench.health();
    assert_eq!(health.state, "stalled");
    assert_eq!(health.trouble.as_deref(), Some("no frame within 0.3 s"));
    drop(camera);
    assert!(gone(&file, 4));
}

#[test]
fn a_changed_size_is_followed() {
    let bench = Bench::new();
    let mut camera = bench.camera("head:8x4 frame:16 head:16x4 frame:235 frame:16 hang");
    for (width, bright) in [(8, 0), (16, 255), (16, 0)] {
        let frame = frame_after(&mut camera, 60);
        let FrameImage::Raw(raw) = &frame.image else {
            panic!("frames of a pipeline are raw");
        };
        assert!(
            matches!(raw.format, RawFormat::Uncompressed { shape, .. } if shape.width == width)
        );
        assert_eq!(brightness(frame), bright);
    }
    let health = bench.health();
    assert_eq!(health.mode.as_deref(), Some("16x4 I420 at 30 fps"));
    assert_eq!((health.restarts, health.missed), (0, 0));
}

#[test]
fn the_newest_frame_is_used_and_the_others_are_counted() {
    let bench = Bench::new();
    let mut camera = Some(bench.camera("head:8x4 frames:40 frame:235 hang"));
    let start = move || -> Box<dyn FrameSource> { Box::new(camera.take().expect("started once")) };
    let feed = CameraFeed {
        name: "bow".into(),
        source: FeedSource::Live {
            start: Box::new(start),
            backoff: Backoff::new(TIMEOUT, Box::new(StdRng::seed_from_u64(0))),
        },
        state: bench.state.clone(),
    };
    let mut cameras = Cameras::start(vec![feed]).unwrap();
    let started = Instant::now();
    while bench.health().dropped < 40 && started.elapsed() < TIMEOUT {
        std::thread::sleep(Duration::from_millis(5));
    }
    let SourceEvent::Frame(frame) = cameras.next().unwrap() else {
        panic!("a frame waits");
    };
    assert_eq!((bench.health().dropped, brightness(frame)), (40, 255));
    bench.stop.cancel();
}

#[test]
fn frames_reuse_their_memory() {
    let bench = Bench::new();
    let mut camera = bench.camera("head:8x4 frames:50 hang");
    let places: HashSet<*const u8> = (0..50)
        .map(|_| match &frame_after(&mut camera, 60).image {
            FrameImage::Raw(raw) => raw.bytes.as_ptr(),
            _ => panic!("frames of a pipeline are raw"),
        })
        .collect();
    assert_eq!(
        places.len(),
        1,
        "one buffer serves a consumer that keeps up"
    );
}

#[test]
fn cancellation_does_not_wait_for_a_frame() {
    for frames in 0..2 {
        let bench = Bench::new();
        let pipeline = ["hang", "head:8x4 frame:1 hang"][frames];
        let mut camera = bench.camera(pipeline);
        (0..frames).for_each(|_| drop(frame_after(&mut camera, 60)));
        let stop = bench.stop.clone();
        let asking = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stop.cancel();
        });
        let started = Instant::now();
        while !matches!(camera.next().unwrap(), SourceEvent::Ended) {}
        assert!(started.elapsed() < TIMEOUT / 2);
        asking.join().unwrap();
        assert_eq!(bench.health().trouble, None);
    }
}
