use super::*;
use crate::backoff::Backoff;
use crate::capture::live::{LiveCamera, LiveSettings, LiveTools};
use crate::capture::negotiate::{Wanted, best};
use crate::capture::{CameraHealth, CameraState, Place};
use crate::frame::{Frame, FramePicture};
use crate::pixels::Developer;
use crate::source::{Cameras, Feed, FrameSource, Next};
use crate::time::{ManualSteadyClock, Moment};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

/// What stands in for `gst-launch-1.0`; see there for what it does.
const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-in/gst-launch-1.0");
const PATIENCE: Duration = Duration::from_secs(20);

fn tools(program: &str) -> Tools {
    Tools {
        program: program.into(),
        starts_within: PATIENCE,
        clock: Arc::new(ManualSteadyClock::new(Moment::from_millis(100_000))),
        stop: Stop::default(),
    }
}

fn mode() -> Mode {
    Mode {
        encoding: Encoding::I420,
        width: 1920,
        height: 1080,
        rate: 10.0,
    }
}

fn camera(pipeline: &str) -> Box<dyn Camera> {
    open(&pipeline.parse().unwrap(), tools(STAND_IN))
}

fn started(pipeline: &str) -> Box<dyn Camera> {
    let mut camera = camera(pipeline);
    camera.start(&mode(), &Controls::default()).unwrap();
    camera
}

fn cannot_begin(pipeline: &str) -> String {
    let error = camera(pipeline).start(&mode(), &Controls::default());
    error.unwrap_err().to_string()
}

fn next(camera: &mut dyn Camera) -> Result<(Vec<u8>, Stamp), DeviceError> {
    let mut bytes = vec![];
    let stamp = camera.frame(PATIENCE, &mut bytes)?;
    Ok((bytes, stamp))
}

/// How the stream ends after one frame.
fn ends_after_one(pipeline: &str) -> String {
    let mut camera = started(pipeline);
    next(&mut *camera).unwrap();
    let said = next(&mut *camera).unwrap_err().to_string();
    let again = next(&mut *camera).unwrap_err().to_string();
    assert_eq!(again, "the pipeline does not run");
    said
}

#[test]
fn frames_come_with_their_size_and_the_moment_of_their_arrival() {
    let mut camera = camera("print:GST_ARGUS head:16x4 frame:50 print:CONSUMER frame:60 hang");
    let wanted = Wanted {
        width: 1920,
        height: 1080,
        rate: 10.0,
    };
    let asked = best(&camera.offers().unwrap(), wanted).unwrap();
    assert_eq!(asked, mode());
    let agreed = camera.start(&asked, &Controls::default()).unwrap();
    assert_eq!(agreed.mode.to_string(), "16 x 4 I420 at 30 a second");
    for (brightness, sequence) in [(50, 1), (60, 2)] {
        let (bytes, stamp) = next(&mut *camera).unwrap();
        assert_eq!(bytes, [brightness; 96]);
        let expected = Stamp {
            taken: Some(Moment::from_millis(100_000)),
            timing: Timing::Pipeline(200),
            sequence,
            damaged: false,
            changed: None,
        };
        assert_eq!(stamp, expected);
    }
}

#[test]
fn a_slow_pipeline_is_less_sure_of_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("slow.y4m");
    let bytes = [b"YUV4MPEG2 W8 H2 F5:1 C420\nFRAME\n".as_slice(), &[99; 24]];
    std::fs::write(&film, bytes.concat()).unwrap();
    let mut camera = started(&format!("file:{} hang", film.display()));
    let (_, stamp) = next(&mut *camera).unwrap();
    assert_eq!(stamp.timing, Timing::Pipeline(1000));
}

#[test]
fn a_program_that_is_not_there_is_named_with_its_packages() {
    let mut camera = open(&"src".parse().unwrap(), tools("/nowhere/gst-launch-1.0"));
    let said = camera.start(&mode(), &Controls::default()).unwrap_err();
    let expected = "/nowhere/gst-launch-1.0 is not installed: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base \
                    gstreamer1.0-plugins-good";
    assert_eq!(said.to_string(), expected);
    let said = version_of(OsStr::new("/nowhere/gst-launch-1.0")).unwrap_err();
    assert_eq!(said.to_string(), expected);
    assert_eq!(version_of(OsStr::new(STAND_IN)).unwrap(), "1.20.3");
    let said = version_of(OsStr::new("false")).unwrap_err().to_string();
    assert_eq!(said, "false does not say its version");
}

#[test]
fn a_pipeline_that_fails_at_its_start_says_why() {
    for (pipeline, why) in [
        (
            "say:'No cameras available' exit:3",
            "exit status: 3: No cameras available",
        ),
        (
            "nvarguscamerasrc",
            "exit status: 1: WARNING: erroneous pipeline: no element \"nvarguscamerasrc\"",
        ),
        ("exit:0", "exit status: 0, and it said nothing"),
        (
            "y4menc",
            "exit status: 1: WARNING: erroneous pipeline: no element \"y4menc\"; sudo apt install gstreamer1.0-plugins-good",
        ),
    ] {
        let said = cannot_begin(pipeline);
        assert_eq!(
            said,
            format!("the pipeline ended before its first frame ({why})")
        );
    }
    assert_eq!(
        cannot_begin("garbage hang"),
        "what the pipeline sends is not read: it does not start with YUV4MPEG2"
    );
    let said = cannot_begin("head:12x3 frame:1 hang");
    assert!(said.contains("! video/x-raw,width=16,height=4"), "{said}");
}

#[test]
fn a_pipeline_that_never_begins_is_ended_and_says_what_it_said() {
    let tools = Tools {
        starts_within: Duration::from_secs(2),
        ..tools(STAND_IN)
    };
    let pipeline = "say:'Error: the daemon hangs' say:waiting hang";
    let mut camera = open(&pipeline.parse().unwrap(), tools);
    let said = camera.start(&mode(), &Controls::default()).unwrap_err();
    assert_eq!(
        said.to_string(),
        "no frame came within 2.0 s of its start: Error: the daemon hangs"
    );
}

#[test]
fn a_stream_that_ends_says_how() {
    for (then, how) in [
        (
            "exit:0",
            "the pipeline ended by itself (exit status: 0, and it said nothing)",
        ),
        (
            "say:late exit:2",
            "the pipeline ended by itself (exit status: 2: late)",
        ),
        (
            "cut exit:0",
            "the pipeline ended in the middle of a frame (exit status: 0, and it said nothing)",
        ),
        (
            "garbage hang",
            "what the pipeline sends is not read: where the next frame should start is something else; the rest is not read",
        ),
        ("head:12x4 frame:1 hang", "its pictures are 12 x 4 pixels"),
    ] {
        let said = ends_after_one(&format!("head:8x4 frame:1 {then}"));
        assert!(said.starts_with(how), "{then}: {said}");
    }
    let said = ends_after_one("head:8x4 frame:1 crash");
    assert!(said.contains("by itself (signal: 11"), "{said}");
}

/// Whether all processes that wrote their number into `file` are gone; so many they must be.
fn gone(file: &Path, many: usize) -> bool {
    let all = std::fs::read_to_string(file).unwrap();
    assert_eq!(all.lines().count(), many, "{all}");
    all.lines()
        .all(|pid| !Path::new("/proc").join(pid).exists())
}

/// The number of the process with these words on its command line, where there is one.
fn process(words: &str) -> Option<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|p| {
            let line = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(words)
        })
        .find_map(|p| p.file_name().into_string().ok())
}

#[test]
fn nothing_is_left_of_a_pipeline_even_where_it_does_not_want_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    for (number, how) in ["", "deaf"].iter().enumerate() {
        let mut camera = started(&format!(
            "{how} pid:{} head:8x4 frame:1 hang",
            file.display()
        ));
        next(&mut *camera).unwrap();
        assert!(!gone(&file, number + 1));
        drop(camera);
        assert!(gone(&file, number + 1), "{how}");
    }
}

/// A live camera over the stand-in, whose waits for another attempt take no time.
struct Bench {
    clock: Arc<ManualSteadyClock>,
    state: Arc<CameraState>,
    stop: Stop,
    patience: Duration,
}

impl Bench {
    fn new() -> Self {
        Self {
            clock: Arc::new(ManualSteadyClock::new(Moment::from_millis(100_000))),
            state: Arc::new(CameraState::new("bow")),
            stop: Stop::default(),
            patience: PATIENCE,
        }
    }

    fn camera(&self, pipeline: &str) -> LiveCamera {
        let (slept, clock, stop) = (self.clock.clone(), self.clock.clone(), self.stop.clone());
        let tools = LiveTools {
            open: Box::new(move |place| {
                let Place::Pipeline(pipeline) = place else {
                    panic!("it is a pipeline");
                };
                let tools = Tools {
                    clock: clock.clone(),
                    stop: stop.clone(),
                    ..tools(STAND_IN)
                };
                Ok(open(pipeline, tools))
            }),
            backoff: Backoff::new(Duration::from_secs(4), Box::new(StdRng::seed_from_u64(3))),
            clock: self.clock.clone(),
            sleep: Box::new(move |time| slept.advance(time)),
            state: self.state.clone(),
            stop: self.stop.clone(),
        };
        let settings = LiveSettings {
            place: Place::Pipeline(pipeline.parse().unwrap()),
            wanted: Wanted {
                width: 1920,
                height: 1080,
                rate: 10.0,
            },
            controls: Controls::default(),
            patience: self.patience,
        };
        LiveCamera::new(settings, tools)
    }

    fn health(&self) -> CameraHealth {
        self.state.health(&*self.clock)
    }
}

/// The next frame, which must come after no more than `quiet` waits.
fn frame_after(camera: &mut LiveCamera, quiet: usize) -> Frame {
    for _ in 0..=quiet {
        if let Next::Frame(frame) = camera.next().unwrap() {
            return frame;
        }
    }
    panic!("no frame after {quiet} waits");
}

fn brightness(frame: Frame) -> u8 {
    let pixels = Developer::new(false).develop(frame.picture).unwrap();
    pixels.get_pixel(1, 1).0[0]
}

#[test]
fn a_pipeline_that_fails_is_tried_again_and_health_says_why() {
    let bench = Bench::new();
    let mut camera = bench.camera("say:'no such sensor' exit:3");
    for _ in 0..200 {
        assert!(matches!(camera.next().unwrap(), Next::Quiet));
    }
    let health = bench.health();
    let why = "the pipeline ended before its first frame (exit status: 3: no such sensor)";
    assert_eq!(
        (health.state.as_str(), health.trouble.as_deref()),
        ("lost", Some(why))
    );
    assert!(
        bench.clock.now().since(Moment::from_millis(100_000)) > Duration::from_secs(10),
        "it waits ever longer between attempts"
    );
}

#[test]
fn a_stream_that_ends_or_hangs_is_started_anew_and_nothing_is_left_behind() {
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
    bench.patience = Duration::from_millis(300);
    let mut camera = bench.camera(&format!(
        "pid:{} file:{} hang",
        file.display(),
        film.display()
    ));
    for _ in 0..3 {
        assert_eq!(brightness(frame_after(&mut camera, 60)), 0);
    }
    assert!(matches!(camera.next().unwrap(), Next::Quiet));
    let health = bench.health();
    assert_eq!(health.state, "stalled");
    assert_eq!(health.trouble.as_deref(), Some("no frame came for 0.3 s"));
    drop(camera);
    assert!(gone(&file, 4));
}

#[test]
fn a_size_that_changes_is_followed() {
    let bench = Bench::new();
    let mut camera = bench.camera("head:8x4 frame:16 head:16x4 frame:235 frame:16 hang");
    for (width, bright) in [(8, 0), (16, 255), (16, 0)] {
        let frame = frame_after(&mut camera, 60);
        let FramePicture::Raw(raw) = &frame.picture else {
            panic!("frames of a pipeline are raw");
        };
        assert!(matches!(raw.format, RawFormat::Plain { shape, .. } if shape.width == width));
        assert_eq!(brightness(frame), bright);
    }
    let health = bench.health();
    assert_eq!(health.mode.as_deref(), Some("16 x 4 I420 at 30 a second"));
    assert_eq!((health.restarts, health.missed), (0, 0));
}

#[test]
fn the_newest_frame_counts_and_the_others_are_counted() {
    let bench = Bench::new();
    let feed = Feed {
        name: "bow".into(),
        source: Box::new(bench.camera("head:8x4 frames:40 frame:235 hang")),
        live: true,
        state: bench.state.clone(),
    };
    let mut cameras = Cameras::start(vec![feed]).unwrap();
    let started = Instant::now();
    while bench.health().dropped < 40 && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    let Next::Frame(frame) = cameras.next().unwrap() else {
        panic!("a frame waits");
    };
    assert_eq!((bench.health().dropped, brightness(frame)), (40, 255));
    bench.stop.ask();
}

#[test]
fn no_frame_takes_new_memory() {
    let bench = Bench::new();
    let mut camera = bench.camera("head:8x4 frames:50 hang");
    let places: HashSet<*const u8> = (0..50)
        .map(|_| match &frame_after(&mut camera, 60).picture {
            FramePicture::Raw(raw) => raw.bytes.as_ptr(),
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
fn a_boat_that_ends_waits_for_no_frame() {
    for frames in 0..2 {
        let bench = Bench::new();
        let pipeline = ["hang", "head:8x4 frame:1 hang"][frames];
        let mut camera = bench.camera(pipeline);
        (0..frames).for_each(|_| drop(frame_after(&mut camera, 60)));
        let stop = bench.stop.clone();
        let asking = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            stop.ask();
        });
        let started = Instant::now();
        while !matches!(camera.next().unwrap(), Next::Over) {}
        assert!(started.elapsed() < PATIENCE / 2);
        asking.join().unwrap();
        assert_eq!(bench.health().trouble, None);
    }
}

/// Whether the real program is here; says so where it is not.
fn real() -> bool {
    if let Err(e) = version() {
        eprintln!("skipped: {e}");
        return false;
    }
    let there = |element: &&str| {
        let mut asked = Command::new("gst-inspect-1.0");
        let asked = asked.args(["--exists", *element]).status();
        asked.is_ok_and(|status| status.success())
    };
    let missing = ["videotestsrc", "y4menc"].into_iter().find(|e| !there(e));
    if let Some(element) = missing {
        eprintln!("skipped: GStreamer has no {element}: sudo apt install {PACKAGES}");
    }
    missing.is_none()
}

#[test]
fn frames_of_the_real_program() {
    if !real() {
        return;
    }
    let source = "videotestsrc num-buffers=5 pattern=white ! 'video/x-raw,format=NV12,width=320,height=240,framerate=25/1'";
    let mut camera = open(&source.parse().unwrap(), tools(PROGRAM));
    let agreed = camera.start(&mode(), &Controls::default()).unwrap();
    assert_eq!(agreed.mode.to_string(), "320 x 240 I420 at 25 a second");
    let mut frames = 0;
    let ended = loop {
        match next(&mut *camera) {
            Ok((bytes, stamp)) => {
                assert_eq!((bytes.len(), stamp.changed), (320 * 240 * 3 / 2, None));
                assert!(bytes[..320 * 240].iter().all(|y| *y == 235), "white");
                frames += 1;
            }
            Err(e) => break e.to_string(),
        }
    };
    // Its source is not a live one: what comes too fast is let go of.
    assert!((1..=5).contains(&frames), "{frames}");
    assert!(
        ended.starts_with("the pipeline ended by itself (exit status: 0"),
        "{ended}"
    );
}

#[test]
fn faults_of_the_real_program() {
    if !real() {
        return;
    }
    let begun = |pipeline: &str| {
        let mut camera = open(&pipeline.parse().unwrap(), tools(PROGRAM));
        let error = camera.start(&mode(), &Controls::default());
        error.unwrap_err().to_string()
    };
    for (pipeline, why) in [
        ("nosuchsrc ! nvvidconv", "no element \"nosuchsrc\""),
        (
            "audiotestsrc",
            "exit status: 1: WARNING: erroneous pipeline: could not link",
        ),
        ("filesrc location=/nowhere", "ERROR: from element"),
    ] {
        let said = begun(pipeline);
        let start = "the pipeline ended before its first frame (exit status: ";
        assert!(said.starts_with(start) && said.contains(why), "{said}");
    }
    let said = begun("videotestsrc ! video/x-raw,width=322,height=241");
    assert!(
        said.contains("! video/x-raw,width=328,height=242"),
        "{said}"
    );
}

#[test]
fn the_real_program_ends_when_it_is_asked_to_and_when_it_crashes() {
    if !real() {
        return;
    }
    let number = 3_000_000_000 + u64::from(std::process::id());
    let mark = &format!("videotestsrc is-live=true foreground-color={number}");
    let start = || {
        let mut camera = open(&mark.parse().unwrap(), tools(PROGRAM));
        camera.start(&mode(), &Controls::default()).unwrap();
        next(&mut *camera).unwrap();
        (camera, process(mark).unwrap())
    };
    let (camera, _) = start();
    drop(camera);
    assert_eq!(process(mark), None);
    let (mut camera, number) = start();
    let killed = Command::new("kill").args(["-SEGV", &number]).status();
    assert!(killed.unwrap().success());
    let ended = loop {
        if let Err(e) = next(&mut *camera) {
            break e.to_string();
        }
    };
    assert!(ended.contains("signal: 11"), "{ended}");
    assert_eq!(process(mark), None);
}
