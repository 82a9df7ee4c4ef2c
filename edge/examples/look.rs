//! What a 1080p MJPEG frame costs until its crop is kept, in milliseconds of one core: `cargo run --release --example look`.
#![allow(clippy::unwrap_used, reason = "an example that cannot go on may end")]

use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_edge::encounter::{Encounters, Found, Grouping};
use flukewatch_edge::frame::{FramePicture, RawFormat, RawPicture};
use flukewatch_edge::pixels::{Developer, Photo};
use flukewatch_edge::source::Buffers;
use flukewatch_edge::time::Moment;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 100;
const FRAME: FrameSize = FrameSize {
    width: 1920,
    height: 1080,
};

/// Waves in perspective, with grain.
fn sea() -> RgbImage {
    let mut state = 1u32;
    RgbImage::from_fn(FRAME.width, FRAME.height, |x, y| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let grain = (state >> 24) as f32 / 18.0;
        let (x, y) = (x as f32, y as f32);
        let near = 1.0 + y / 400.0;
        let swell = (x * 0.05 / near + (y * 0.11 / near).sin() * 2.0).sin();
        let light = 80.0 + y * 0.04 + 18.0 * swell + grain;
        Rgb([0.8, 0.95, 1.1].map(|c| (light * c) as u8))
    })
}

/// What this thread has worked, in milliseconds: others on the machine do not count.
fn worked() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The median of what `work` takes.
fn measure(what: &str, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = worked();
            work();
            worked() - started
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{what}: median {:.2} ms, least {:.2} ms",
        times[ROUNDS / 2],
        times[0]
    );
}

fn main() {
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 85)
        .encode_image(&sea())
        .unwrap();
    println!(
        "a frame of {} x {} pixels, {} kB, {ROUNDS} rounds",
        FRAME.width,
        FRAME.height,
        file.len() / 1000
    );
    let buffers = Buffers::default();
    let frame = || {
        let mut bytes = buffers.empty();
        bytes.extend_from_slice(&file);
        RawPicture {
            bytes: buffers.lend(bytes),
            format: RawFormat::Jpeg,
        }
    };
    let mut developer = Developer::new(true);
    measure("brightness", || {
        let (photo, _) = developer.look(FramePicture::Raw(frame())).unwrap();
        developer.take_back(photo);
    });
    let mut colours = Developer::new(false);
    measure("colours", || {
        let photo = colours.colours(&frame()).unwrap();
        colours.take_back(photo);
    });
    let (photo, _) = developer.look(FramePicture::Raw(frame())).unwrap();
    let mut small = RgbImage::default();
    measure("reduced for the detector", || {
        photo.pixels().reduce(2, &mut small);
    });
    follow("tracks and crops of two flukes", &photo, &[300, 1200]);
    follow("tracks over open sea", &photo, &[]);
}

fn follow(what: &str, photo: &Photo, flukes: &[u32]) {
    let grouping = Grouping::Film {
        gap: 2000,
        longest: 300_000,
    };
    let mut encounters = Encounters::new(grouping, 5, 0.1);
    let mut now = 0;
    measure(what, || {
        now += 33_333;
        let mut found = [Detection {
            region: PixelBox::whole(1, 1),
            score: 0.8,
        }; 2];
        for (found, x0) in found.iter_mut().zip(flukes) {
            let x0 = x0 + now as u32 / 33_333 % 7;
            let (x1, y0, y1) = (x0 + 400, 500, 650);
            found.region = PixelBox { x0, y0, x1, y1 };
        }
        let found = Found::Detected(&found[..flukes.len()]);
        encounters.pass(Moment(now));
        encounters.look(found, FRAME, Moment(now));
        if encounters.wants_pixels() {
            encounters.keep(photo.pixels());
        }
        encounters.complete();
    });
}
