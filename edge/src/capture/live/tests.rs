use super::*;
use crate::capture::device::Encoding;
use crate::capture::fake::{FakeCamera, Happens, World, frame};
use crate::frame::RawFormat;
use crate::pixels::{Developer, PictureError};
use crate::time::ManualSteadyClock;
use rand::SeedableRng;
use rand::rngs::StdRng;

struct Bench {
    world: World,
    clock: Arc<ManualSteadyClock>,
    state: Arc<CameraState>,
    camera: LiveCamera,
}

fn bench(width: u32, height: u32) -> Bench {
    let world = World::plugged_in();
    let clock = Arc::new(ManualSteadyClock::new(Moment::from_millis(100_000)));
    let state = Arc::new(CameraState::new("bow"));
    let (opened, slept) = (world.clone(), clock.clone());
    let tools = LiveTools {
        open: Box::new(move |_| FakeCamera::open(&opened)),
        backoff: Backoff::new(Duration::from_secs(4), Box::new(StdRng::seed_from_u64(3))),
        clock: clock.clone(),
        sleep: Box::new(move |time| slept.advance(time)),
        state: state.clone(),
        stop: Stop::default(),
    };
    let settings = LiveSettings {
        place: Place::Device("/dev/video0".into()),
        wanted: Wanted {
            width,
            height,
            rate: 30.0,
        },
        controls: Controls {
            exposure: Some(Duration::from_millis(2)),
            hold_rate: true,
        },
        patience: Duration::from_secs(2),
    };
    Bench {
        world,
        clock,
        state,
        camera: LiveCamera::new(settings, tools),
    }
}

impl Bench {
    /// The next frame, which must come after no more than `quiet` waits.
    fn frame_after(&mut self, quiet: usize) -> Frame {
        for _ in 0..=quiet {
            if let Next::Frame(frame) = self.camera.next().unwrap() {
                return frame;
            }
        }
        panic!("no frame after {quiet} waits: {:?}", self.health());
    }

    fn health(&self) -> super::super::CameraHealth {
        self.state.health(&*self.clock)
    }

    fn yuyv(&self, y: u8, sequence: u32) {
        let now = self.clock.now();
        self.world
            .then(frame([y, 128].repeat(32), Some(now), sequence));
    }
}

fn pixels(frame: Frame) -> Result<image::RgbImage, PictureError> {
    Developer::new(false).develop(frame.picture)
}

#[test]
fn frames_come_in_the_mode_that_was_agreed_with_the_driver_s_time() {
    let mut bench = bench(8, 4);
    let taken = Moment::from_millis(99_990);
    bench
        .world
        .then(frame([50, 128].repeat(32), Some(taken), 7));
    let got = bench.frame_after(1);
    assert_eq!((got.taken, got.timing), (taken, Timing::Driver));
    let picture = pixels(got).unwrap();
    assert_eq!(
        (picture.dimensions(), picture.get_pixel(7, 3).0),
        ((8, 4), [50; 3])
    );
    let (mode, controls) = bench.world.change(|w| w.started[0]);
    assert_eq!((mode.encoding, mode.rate), (Encoding::Yuyv, 30.0));
    assert_eq!(controls.exposure, Some(Duration::from_millis(2)));
    let health = bench.health();
    assert_eq!((health.state.as_str(), health.frames), ("streaming", 1));
    assert_eq!(health.mode.as_deref(), Some("8 x 4 YUYV at 30 a second"));
    assert_eq!(health.last_frame_milliseconds_ago, Some(10));
}

#[test]
fn a_stamp_that_cannot_be_is_replaced_by_the_arrival() {
    let mut bench = bench(8, 4);
    for taken in [
        None,
        Some(Moment(0)),
        Some(Moment::from_millis(1_795_450_800_000)),
    ] {
        bench.world.then(frame([50, 128].repeat(32), taken, 0));
        let got = bench.frame_after(1);
        assert_eq!(
            (got.taken, got.timing),
            (bench.clock.now(), Timing::Arrival)
        );
    }
}

#[test]
fn an_unplugged_camera_is_looked_for_ever_more_rarely_and_found_again() {
    let mut bench = bench(8, 4);
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.world.then(Happens::Unplugged);
    assert!(matches!(bench.camera.next().unwrap(), Next::Quiet));
    let health = bench.health();
    assert_eq!(health.state, "lost");
    assert_eq!(
        health.trouble.as_deref(),
        Some("it is not there: No such device")
    );
    let lost = bench.clock.now();
    while bench.clock.now().since(lost) < Duration::from_secs(60) {
        assert!(matches!(bench.camera.next().unwrap(), Next::Quiet));
    }
    // 60 s with waits of 2 to 4 s, after the first short ones.
    let opened = bench.world.change(|w| w.opened);
    assert!((15..40).contains(&opened), "{opened} attempts");
    bench.world.change(|w| w.plugged = true);
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
fn a_camera_that_is_not_there_at_the_start_is_waited_for() {
    let mut bench = bench(8, 4);
    bench.world.change(|w| w.plugged = false);
    for _ in 0..10 {
        assert!(matches!(bench.camera.next().unwrap(), Next::Quiet));
    }
    bench.world.change(|w| w.plugged = true);
    bench.yuyv(9, 0);
    bench.frame_after(60);
}

#[test]
fn after_a_stall_the_stream_is_started_anew_and_after_three_the_camera_is_opened_anew() {
    let mut bench = bench(8, 4);
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.world.then(Happens::Stall);
    bench.yuyv(2, 0);
    bench.frame_after(1);
    let (opened, started) = bench.world.change(|w| (w.opened, w.started.len()));
    assert_eq!((opened, started), (1, 2));
    assert_eq!(bench.health().state, "streaming");
    (0..3).for_each(|_| bench.world.then(Happens::Stall));
    bench.yuyv(3, 0);
    bench.frame_after(60);
    assert_eq!(bench.world.change(|w| w.opened), 2);
}

#[test]
fn a_stride_that_is_wider_than_the_picture_is_honoured() {
    let mut bench = bench(8, 4);
    bench.world.change(|w| w.stride = Some(24));
    let row = [[77, 128].repeat(8), vec![255; 8]].concat();
    bench.world.then(frame(row.repeat(4), None, 0));
    let picture = pixels(bench.frame_after(1)).unwrap();
    assert!(picture.pixels().all(|p| p.0 == [77; 3]), "{picture:?}");
}

#[test]
fn a_truncated_buffer_is_a_broken_frame_and_says_so() {
    let mut bench = bench(8, 4);
    bench.world.then(frame(vec![0; 40], None, 0));
    let said = pixels(bench.frame_after(1)).unwrap_err().to_string();
    assert_eq!(said, "the frame is cut off: 40 bytes of 64");
}

#[test]
fn garbage_for_a_jpeg_is_a_broken_frame_and_says_so() {
    let mut bench = bench(32, 16);
    let garbage: Vec<u8> = (0..4000u32).map(|i| (i * 7 + i / 13) as u8).collect();
    let headed = [b"\xff\xd8\xff\xe0".to_vec(), garbage.clone()].concat();
    for bytes in [garbage, headed] {
        bench.world.then(frame(bytes, None, 0));
        let got = bench.frame_after(1);
        assert!(matches!(&got.picture, FramePicture::Raw(raw) if raw.format == RawFormat::Jpeg));
        assert!(pixels(got).is_err());
    }
}

#[test]
fn what_the_driver_calls_damaged_or_leaves_empty_is_a_broken_frame() {
    let mut bench = bench(8, 4);
    let damaged = Stamp {
        taken: None,
        timing: Timing::Driver,
        sequence: 1,
        damaged: true,
        changed: None,
    };
    bench.yuyv(1, 0);
    bench.frame_after(1);
    bench.world.then(Happens::Frame(vec![1; 64], damaged));
    bench.world.then(frame(vec![], None, 2));
    for why in ["damaged", "empty"] {
        let said = bench.camera.next().unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(bench.health().damaged, 2);
}

#[test]
fn frames_that_the_driver_lost_are_counted() {
    let mut bench = bench(8, 4);
    for sequence in [5, 6, 9, 10, 0, 1] {
        bench.yuyv(1, sequence);
        bench.frame_after(1);
    }
    assert_eq!(bench.health().missed, 2);
}

#[test]
fn no_frame_takes_new_memory() {
    let mut bench = bench(8, 4);
    let mut places = std::collections::HashSet::new();
    for sequence in 0..50 {
        bench.yuyv(1, sequence);
        let got = bench.frame_after(1);
        if let FramePicture::Raw(raw) = &got.picture {
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
fn being_asked_to_stop_ends_it() {
    let mut bench = bench(8, 4);
    bench.camera.tools.stop.ask();
    assert!(matches!(bench.camera.next().unwrap(), Next::Over));
}
