use super::*;
use crate::capture::CameraHealth;
use crate::capture::device::Encoding;
use crate::capture::fake::{FakeCamera, FakeControl, ReadEvent, frame};
use crate::frame::RawFormat;
use crate::pixels::convert::PixelError;
use crate::pixels::{DecodeError, Decoder};
use crate::time::ManualMonotonicClock;
use rand::SeedableRng;
use rand::rngs::StdRng;

struct Bench {
    control: FakeControl,
    clock: Arc<ManualMonotonicClock>,
    state: Arc<CameraState>,
    camera: LiveCamera,
}

fn bench(width: u32, height: u32) -> Bench {
    let control = FakeControl::plugged_in();
    let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        100_000,
    )));
    let state = Arc::new(CameraState::new("bow"));
    let (opened, slept) = (control.clone(), clock.clone());
    let deps = LiveDependencies {
        open: Box::new(move |_| FakeCamera::open(&opened)),
        backoff: Backoff::new(Duration::from_secs(4), Box::new(StdRng::seed_from_u64(3))),
        clock: clock.clone(),
        sleep: Box::new(move |time| slept.advance(time)),
        state: state.clone(),
        stop: CancellationToken::default(),
    };
    let settings = LiveSettings {
        address: CameraAddress::Device("/dev/video0".into()),
        requested: RequestedMode {
            width,
            height,
            rate: 30.0,
        },
        controls: Controls {
            exposure: Some(Duration::from_millis(2)),
            dynamic_framerate: false,
        },
        timeout: Duration::from_secs(2),
    };
    Bench {
        control,
        clock,
        state,
        camera: LiveCamera::new(settings, deps),
    }
}

impl Bench {
    /// The next frame, which must come after no more than `quiet` waits.
    fn frame_after(&mut self, quiet: usize) -> Frame {
        for _ in 0..=quiet {
            if let SourceEvent::Frame(frame) = self.camera.next().unwrap() {
                return frame;
            }
        }
        panic!("no frame after {quiet} waits: {:?}", self.health());
    }

    fn health(&self) -> CameraHealth {
        self.state.health(&*self.clock)
    }

    fn yuyv(&self, y: u8, sequence: u32) {
        let now = self.clock.now();
        self.control
            .push(frame([y, 128].repeat(32), Some(now), sequence));
    }
}

fn pixels(frame: Frame) -> Result<image::RgbImage, DecodeError> {
    Decoder::new(false).decode_rgb(frame.image)
}

#[test]
fn frames_have_the_negotiated_format_and_the_driver_s_timestamp() {
    let mut bench = bench(8, 4);
    let taken = MonotonicTimestamp::from_millis(99_990);
    bench
        .control
        .push(frame([50, 128].repeat(32), Some(taken), 7));
    let got = bench.frame_after(1);
    assert_eq!((got.taken, got.timing), (taken, Timing::Driver));
    let picture = pixels(got).unwrap();
    assert_eq!(
        (picture.dimensions(), picture.get_pixel(7, 3).0),
        ((8, 4), [50; 3])
    );
    let (mode, controls) = bench.control.change(|s| s.started[0]);
    assert_eq!((mode.encoding, mode.rate), (Encoding::Yuyv, 30.0));
    assert_eq!(controls.exposure, Some(Duration::from_millis(2)));
    let health = bench.health();
    assert_eq!((health.state.as_str(), health.frames), ("streaming", 1));
    assert_eq!(health.mode.as_deref(), Some("8x4 YUYV at 30 fps"));
    assert_eq!(health.last_frame_milliseconds_ago, Some(10));
}

#[test]
fn an_implausible_timestamp_is_replaced_by_the_arrival() {
    let mut bench = bench(8, 4);
    for taken in [
        None,
        Some(MonotonicTimestamp(0)),
        Some(MonotonicTimestamp::from_millis(1_795_450_800_000)),
    ] {
        bench.control.push(frame([50, 128].repeat(32), taken, 0));
        let got = bench.frame_after(1);
        assert_eq!(
            (got.taken, got.timing),
            (bench.clock.now(), Timing::Arrival)
        );
    }
}

#[test]
fn an_unplugged_camera_is_reconnected_with_backoff() {
    let mut bench = bench(8, 4);
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.control.push(ReadEvent::Unplug);
    assert!(matches!(bench.camera.next().unwrap(), SourceEvent::Idle));
    let health = bench.health();
    assert_eq!(health.state, "disconnected");
    assert_eq!(
        health.trouble.as_deref(),
        Some("camera not found: No such device")
    );
    let lost = bench.clock.now();
    while bench.clock.now().since(lost) < Duration::from_secs(60) {
        assert!(matches!(bench.camera.next().unwrap(), SourceEvent::Idle));
    }
    // 60 s with waits of 2 to 4 s, after the first short ones.
    let opened = bench.control.change(|s| s.opened);
    assert!((15..40).contains(&opened), "{opened} attempts");
    bench.control.change(|s| s.plugged = true);
    bench.yuyv(2, 0);
    let got = bench.frame_after(60);
    assert_eq!(pixels(got).unwrap().get_pixel(0, 0).0, [2; 3]);
    let health = bench.health();
    assert_eq!(
        (health.state.as_str(), health.trouble, health.restarts),
        ("streaming", None, 1)
    );
}

#[test]
fn a_camera_missing_at_the_start_is_waited_for() {
    let mut bench = bench(8, 4);
    bench.control.change(|s| s.plugged = false);
    for _ in 0..10 {
        assert!(matches!(bench.camera.next().unwrap(), SourceEvent::Idle));
    }
    bench.control.change(|s| s.plugged = true);
    bench.yuyv(9, 0);
    bench.frame_after(60);
}

#[test]
fn a_timeout_restarts_the_stream_and_three_reopen_the_camera() {
    let mut bench = bench(8, 4);
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.control.push(ReadEvent::Timeout);
    bench.yuyv(2, 0);
    bench.frame_after(1);
    let (opened, started) = bench.control.change(|s| (s.opened, s.started.len()));
    assert_eq!((opened, started), (1, 2));
    assert_eq!(bench.health().state, "streaming");
    (0..3).for_each(|_| bench.control.push(ReadEvent::Timeout));
    bench.yuyv(3, 0);
    bench.frame_after(60);
    assert_eq!(bench.control.change(|s| s.opened), 2);
}

#[test]
fn a_stride_wider_than_the_image_is_honoured() {
    let mut bench = bench(8, 4);
    bench.control.change(|s| s.stride = Some(24));
    let row = [[77, 128].repeat(8), vec![255; 8]].concat();
    bench.control.push(frame(row.repeat(4), None, 0));
    let picture = pixels(bench.frame_after(1)).unwrap();
    assert!(picture.pixels().all(|p| p.0 == [77; 3]), "{picture:?}");
}

#[test]
fn a_truncated_buffer_is_an_error() {
    let mut bench = bench(8, 4);
    bench.control.push(frame(vec![0; 40], None, 0));
    let error = pixels(bench.frame_after(1)).unwrap_err();
    let truncated = PixelError::Short {
        got: 40,
        needed: 64,
    };
    assert!(matches!(error, DecodeError::Pixels(e) if e == truncated));
}

#[test]
fn garbage_instead_of_a_jpeg_is_an_error() {
    let mut bench = bench(32, 16);
    let garbage: Vec<u8> = (0..4000u32).map(|i| (i * 7 + i / 13) as u8).collect();
    let headed = [b"\xff\xd8\xff\xe0".to_vec(), garbage.clone()].concat();
    for bytes in [garbage, headed] {
        bench.control.push(frame(bytes, None, 0));
        let got = bench.frame_after(1);
        assert!(matches!(&got.image, FrameImage::Raw(raw) if raw.format == RawFormat::Jpeg));
        assert!(pixels(got).is_err());
    }
}

#[test]
fn a_damaged_or_empty_frame_is_invalid() {
    let mut bench = bench(8, 4);
    let damaged = FrameMetadata {
        taken: None,
        timing: Timing::Driver,
        sequence: 1,
        damaged: true,
        changed: None,
        encoded: vec![],
    };
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.control.push(ReadEvent::Frame(vec![1; 64], damaged));
    bench.control.push(frame(vec![], None, 2));
    for why in ["damaged", "empty"] {
        let error = bench.camera.next().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(bench.health().damaged, 2);
}

#[test]
fn frames_lost_in_the_driver_are_counted() {
    let mut bench = bench(8, 4);
    for sequence in [5, 6, 9, 10, 0, 1] {
        bench.yuyv(1, sequence);
        bench.frame_after(1);
    }
    assert_eq!(bench.health().missed, 2);
}

#[test]
fn frames_reuse_their_memory() {
    let mut bench = bench(8, 4);
    let mut places = std::collections::HashSet::new();
    for sequence in 0..50 {
        bench.yuyv(1, sequence);
        let got = bench.frame_after(1);
        if let FrameImage::Raw(raw) = &got.image {
            places.insert(raw.bytes.as_ptr());
        }
    }
    assert_eq!(
        places.len(),
        1,
        "one buffer serves a consumer that keeps up"
    );
}

#[test]
fn cancellation_ends_the_source() {
    let mut bench = bench(8, 4);
    bench.camera.deps.stop.cancel();
    assert!(matches!(bench.camera.next().unwrap(), SourceEvent::Ended));
}
