use super::super::stand_in::{STAND_IN, TIMEOUT};
use super::*;
use crate::encoded_frame::Codec;

fn options(program: &str) -> VideoOptions {
    VideoOptions {
        program: program.into(),
        timeout: TIMEOUT,
        timed: true,
        hardware: vec![],
        stop: CancellationToken::default(),
    }
}

/// A video file for which the stand-in executes `words`.
struct Recorded(tempfile::TempDir);

impl Recorded {
    fn new(words: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let video = Self(folder);
        let content = format!("\0\0\0\x18ftypmp42\nstand-in: {words}\n");
        std::fs::write(video.path(), content).unwrap();
        video
    }

    /// Its name has characters that a pipeline or a shell gives a meaning.
    fn path(&self) -> PathBuf {
        self.0.path().join("GoPro \"1\" ! 'bow'\\.MP4")
    }

    fn open(&self) -> Result<Box<dyn Demuxer>, GstVideoError> {
        open_video(&self.path(), options(STAND_IN))
    }
}

/// The size of each frame in bytes and its first one, up to the end or an error.
fn played(video: &mut dyn Demuxer) -> (Vec<(usize, u8)>, Result<(), String>) {
    let mut frames = vec![];
    loop {
        let mut bytes = vec![];
        match video.next(&mut bytes) {
            Ok(Sample::Image(_)) => frames.push((bytes.len(), bytes[0])),
            Ok(Sample::Empty) => panic!("a pipeline has no empty frames"),
            Ok(Sample::End) => return (frames, Ok(())),
            Err(e) => return (frames, Err(e.to_string())),
        }
    }
}

#[test]
fn each_frame_is_read_once_and_in_order() {
    let recorded = Recorded::new("print:Opening rate:30000:1001 head:16x4 frames:200");
    let mut video = recorded.open().unwrap();
    assert!((video.rate().unwrap() - 29.97).abs() < 0.001);
    // Longer than the pipeline needs to send all that fits into its socket.
    std::thread::sleep(Duration::from_millis(200));
    let (frames, end) = played(&mut *video);
    let expected: Vec<(usize, u8)> = (0..200).map(|i| (96, i)).collect();
    assert_eq!((frames, end), (expected, Ok(())));
    assert!(matches!(video.next(&mut vec![]), Ok(Sample::End)));
}

#[test]
fn a_size_that_gstreamer_pads_is_scaled() {
    let mut video = Recorded::new("head:12x3 frames:2").open().unwrap();
    assert_eq!(played(&mut *video).0, [(96, 0), (96, 1)]);
    let recorded = Recorded::new("head:16x4 frame:1 head:20x4 frame:2 hang");
    let mut video = recorded.open().unwrap();
    let (frames, end) = played(&mut *video);
    assert_eq!(frames, [(96, 1)]);
    assert_eq!(end.unwrap_err(), "its size changes to 20 x 4 pixels");
}

#[test]
fn hardware_is_chosen_first_and_its_images_are_downloaded() {
    let nvidia = GstDecoder::all(Codec::H264)[0];
    let video4linux = GstDecoder::all(Codec::H264)[1];
    let both = [video4linux, nvidia];
    let arguments = |decoding| {
        Filters::default()
            .arguments("/dev/fd/3", decoding)
            .join(" ")
    };
    let hardware = arguments(Decoding::Hardware(&both));
    let software = arguments(Decoding::Software(&both));
    assert!(
        hardware.contains("! decodebin ! nvvidconv ! videoconvert ! "),
        "{hardware}"
    );
    assert_eq!(hardware.replace("! nvvidconv ", ""), software);
    assert_eq!(
        arguments(Decoding::Hardware(&[video4linux])),
        software,
        "its images are in the main memory"
    );
    assert_eq!(Decoding::Hardware(&both).environment(), []);
    assert_eq!(
        Decoding::Software(&both).environment(),
        [(RANKS, "v4l2h264dec:NONE,nvv4l2decoder:NONE".to_owned())]
    );
}

#[test]
fn hardware_that_fails_is_replaced_by_software() {
    let with_hardware = |words: &str| {
        let options = VideoOptions {
            hardware: vec![GstDecoder::all(Codec::H264)[0]],
            ..options(STAND_IN)
        };
        open_video(&Recorded::new(words).path(), options)
    };
    let words = "without-rank:nvv4l2decoder head:8x4 frame:1";
    let mut video = with_hardware(words).unwrap();
    assert_eq!(played(&mut *video).0.len(), 1);
    let error = with_hardware("exit:1").err().unwrap();
    assert!(matches!(error, GstVideoError::Ended(_)), "{error}");
}

#[test]
fn frames_with_times_and_without_a_rate_are_made_even() {
    let recorded = Recorded::new("rate:0:1 head:16x4 frame:7");
    let mut video = recorded.open().unwrap();
    assert_eq!(video.rate(), Some(f64::from(EVEN_RATE)));
    assert_eq!(played(&mut *video).0.len(), 1);
    let untimed = VideoOptions {
        timed: false,
        ..options(STAND_IN)
    };
    let video = open_video(&recorded.path(), untimed).unwrap();
    assert_eq!(video.rate(), None, "the configured one");
}

#[test]
fn a_video_that_cannot_be_decoded_has_a_reason() {
    let error = |words: &str| Recorded::new(words).open().err().unwrap().to_string();
    assert_eq!(
        error("say:Missing exit:1"),
        "GStreamer cannot decode it (exit status: 1: Missing)"
    );
    assert_eq!(
        error("exit:0"),
        "GStreamer cannot decode it (exit status: 0, no output)"
    );
    assert!(error("garbage hang").starts_with("invalid stream of GStreamer: "));
    let recorded = Recorded::new("say:stuck hang");
    let hasty = VideoOptions {
        timeout: Duration::from_secs(1),
        ..options(STAND_IN)
    };
    let error = open_video(&recorded.path(), hasty).err().unwrap();
    assert!(matches!(error, GstVideoError::TimedOut { reason, .. } if reason == "stuck"));
    let error = open_video(&recorded.path(), options("/nowhere/gst-launch-1.0"));
    let error = error.err().unwrap();
    assert_eq!(
        error.to_string(),
        "/nowhere/gst-launch-1.0 is not installed"
    );
    let error = open_video(Path::new("/nowhere/a.mp4"), options(STAND_IN));
    assert!(matches!(error.err(), Some(GstVideoError::File(_))));
}

#[test]
fn a_program_that_fails_within_the_video_is_an_error() {
    for (then, how) in [
        (
            "say:broken exit:2",
            "before the end of the video (exit status: 2: broken)",
        ),
        (
            "cut exit:0",
            "in the middle of a frame (exit status: 0, no output)",
        ),
        ("crash", "before the end of the video (signal: 11"),
    ] {
        let mut video = Recorded::new(&format!("head:8x4 frame:1 {then}"))
            .open()
            .unwrap();
        let (frames, end) = played(&mut *video);
        let said = end.unwrap_err();
        assert_eq!(frames.len(), 1, "{then}");
        assert!(
            said.starts_with(&format!("GStreamer ended {how}")),
            "{said}"
        );
        assert!(matches!(video.next(&mut vec![]), Ok(Sample::End)));
    }
}

#[test]
fn cancellation_ends_the_video_and_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let recorded = Recorded::new(&format!("pid:{} head:8x4 frame:1 hang", file.display()));
    let stop = CancellationToken::default();
    let stoppable = VideoOptions {
        stop: stop.clone(),
        ..options(STAND_IN)
    };
    let mut video = open_video(&recorded.path(), stoppable).unwrap();
    assert!(matches!(video.next(&mut vec![]), Ok(Sample::Image(_))));
    stop.cancel();
    assert!(matches!(video.next(&mut vec![]), Ok(Sample::End)));
    let pid = std::fs::read_to_string(&file).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}
