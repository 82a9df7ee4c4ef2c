use super::stand_in::{STAND_IN, TIMEOUT, options};
use super::*;
use crate::capture::negotiate::{RequestedMode, best_mode};
use crate::time::MonotonicTimestamp;
use std::path::Path;

fn mode() -> Mode {
    Mode {
        encoding: Encoding::I420,
        width: 1920,
        height: 1080,
        rate: 10.0,
    }
}

fn camera(pipeline: &str) -> Box<dyn Camera> {
    open(&pipeline.parse().unwrap(), options(STAND_IN))
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

fn next(camera: &mut dyn Camera) -> Result<(Vec<u8>, FrameMetadata), DeviceError> {
    let mut bytes = vec![];
    let metadata = camera.read_frame(TIMEOUT, &mut bytes)?;
    Ok((bytes, metadata))
}

/// How the stream ends after one frame.
fn ends_after_one(pipeline: &str) -> String {
    let mut camera = started(pipeline);
    next(&mut *camera).unwrap();
    let error = next(&mut *camera).unwrap_err().to_string();
    let again = next(&mut *camera).unwrap_err().to_string();
    assert_eq!(again, "the pipeline is not running");
    error
}

#[test]
fn frames_have_their_size_and_arrival_time() {
    let mut camera = camera("print:GST_ARGUS head:16x4 frame:50 print:CONSUMER frame:60 hang");
    let requested = RequestedMode {
        width: 1920,
        height: 1080,
        rate: 10.0,
    };
    let requested = best_mode(&camera.formats().unwrap(), requested).unwrap();
    assert_eq!(requested, mode());
    let format = camera.start(&requested, &Controls::default()).unwrap();
    assert_eq!(format.mode.to_string(), "16x4 I420 at 30 fps");
    for (brightness, sequence) in [(50, 1), (60, 2)] {
        let (bytes, metadata) = next(&mut *camera).unwrap();
        assert_eq!(bytes, [brightness; 96]);
        let expected = FrameMetadata {
            taken: Some(MonotonicTimestamp::from_millis(100_000)),
            timing: Timing::Pipeline(200),
            sequence,
            damaged: false,
            changed: None,
            encoded: vec![],
        };
        assert_eq!(metadata, expected);
    }
}

#[test]
fn a_slow_pipeline_has_a_larger_uncertainty() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("slow.y4m");
    let bytes = [b"YUV4MPEG2 W8 H2 F5:1 C420\nFRAME\n".as_slice(), &[99; 24]];
    std::fs::write(&film, bytes.concat()).unwrap();
    let mut camera = started(&format!("file:{} hang", film.display()));
    let (_, metadata) = next(&mut *camera).unwrap();
    assert_eq!(metadata.timing, Timing::Pipeline(1000));
}

#[test]
fn a_missing_program_is_named_with_its_packages() {
    let mut camera = open(&"src".parse().unwrap(), options("/nowhere/gst-launch-1.0"));
    let error = camera.start(&mode(), &Controls::default()).unwrap_err();
    let expected = "/nowhere/gst-launch-1.0 is not installed; run: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base \
                    gstreamer1.0-plugins-good";
    assert_eq!(error.to_string(), expected);
    let error = version_of(OsStr::new("/nowhere/gst-launch-1.0")).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(version_of(OsStr::new(STAND_IN)).unwrap(), "1.20.3");
    let error = version_of(OsStr::new("false")).unwrap_err().to_string();
    assert_eq!(error, "false reports no version");
}

#[test]
fn a_pipeline_that_fails_at_the_start_has_a_reason() {
    for (pipeline, why) in [
        (
            "say:'No cameras available' exit:3",
            "exit status: 3: No cameras available",
        ),
        (
            "nvarguscamerasrc",
            "exit status: 1: WARNING: erroneous pipeline: no element \"nvarguscamerasrc\"",
        ),
        ("exit:0", "exit status: 0, no output"),
        (
            "y4menc",
            "exit status: 1: WARNING: erroneous pipeline: no element \"y4menc\"; run: sudo apt install gstreamer1.0-plugins-good",
        ),
    ] {
        let error = cannot_begin(pipeline);
        assert_eq!(
            error,
            format!("the pipeline ended before its first frame ({why})")
        );
    }
    assert_eq!(
        cannot_begin("garbage hang"),
        "invalid stream of the pipeline: the stream does not start with YUV4MPEG2"
    );
    let error = cannot_begin("head:12x3 frame:1 hang");
    assert!(error.contains("! video/x-raw,width=16,height=4"), "{error}");
}

#[test]
fn a_pipeline_that_never_starts_is_ended() {
    let options = PipelineOptions {
        start_timeout: Duration::from_secs(2),
        ..options(STAND_IN)
    };
    let pipeline = "say:'Error: the daemon hangs' say:waiting hang";
    let mut camera = open(&pipeline.parse().unwrap(), options);
    let error = camera.start(&mode(), &Controls::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no frame within 2.0 s of the start of the pipeline: Error: the daemon hangs"
    );
}

#[test]
fn a_stream_that_ends_has_a_reason() {
    for (then, how) in [
        (
            "exit:0",
            "the pipeline ended by itself (exit status: 0, no output)",
        ),
        (
            "say:late exit:2",
            "the pipeline ended by itself (exit status: 2: late)",
        ),
        (
            "cut exit:0",
            "the pipeline ended in the middle of a frame (exit status: 0, no output)",
        ),
        (
            "garbage hang",
            "invalid stream of the pipeline: expected FRAME; the rest of the stream is ignored",
        ),
        ("head:12x4 frame:1 hang", "unsupported image size 12x4"),
    ] {
        let error = ends_after_one(&format!("head:8x4 frame:1 {then}"));
        assert!(error.starts_with(how), "{then}: {error}");
    }
    let error = ends_after_one("head:8x4 frame:1 crash");
    assert!(error.contains("by itself (signal: 11"), "{error}");
}

/// Whether all processes that wrote their number into `file` are gone; there must be `many`.
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
fn no_process_is_left_even_if_it_ignores_signals() {
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
    let mut camera = open(&source.parse().unwrap(), options(PROGRAM));
    let format = camera.start(&mode(), &Controls::default()).unwrap();
    assert_eq!(format.mode.to_string(), "320x240 I420 at 25 fps");
    let mut frames = 0;
    let ended = loop {
        match next(&mut *camera) {
            Ok((bytes, metadata)) => {
                assert_eq!((bytes.len(), metadata.changed), (320 * 240 * 3 / 2, None));
                assert!(bytes[..320 * 240].iter().all(|y| *y == 235), "white");
                frames += 1;
            }
            Err(e) => break e.to_string(),
        }
    };
    // Its source is not live: frames that come too fast are dropped.
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
        let mut camera = open(&pipeline.parse().unwrap(), options(PROGRAM));
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
        let error = begun(pipeline);
        let start = "the pipeline ended before its first frame (exit status: ";
        assert!(error.starts_with(start) && error.contains(why), "{error}");
    }
    let error = begun("videotestsrc ! video/x-raw,width=322,height=241");
    assert!(
        error.contains("! video/x-raw,width=328,height=242"),
        "{error}"
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
        let mut camera = open(&mark.parse().unwrap(), options(PROGRAM));
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
