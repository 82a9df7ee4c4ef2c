//! Measures the CPU time of a 1080p MJPEG frame from decoding to its crops:
//! `cargo run --release --example look`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_edge::buffers::BufferPool;
use flukewatch_edge::encounter::{Encounters, FlukeBoxes, Grouping};
use flukewatch_edge::frame::{FrameImage, RawFormat, RawImage};
use flukewatch_edge::pixels::{DecodedImage, Decoder};
use flukewatch_edge::time::MonotonicTimestamp;
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

/// CPU time of this thread in milliseconds, independent of the machine's load.
fn worked() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Prints the median and the minimum CPU time of `work`.
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
    let buffers = BufferPool::default();
    let frame = || {
        let mut bytes = buffers.take();
        bytes.extend_from_slice(&file);
        RawImage {
            bytes,
            format: RawFormat::Jpeg,
        }
    };
    let mut decoder = Decoder::new(true);
    measure("luma", || {
        drop(decoder.decode(FrameImage::Raw(frame())).unwrap());
    });
    let mut colour = Decoder::new(false);
    measure("colour", || {
        drop(colour.decode_colour(&frame()).unwrap());
    });
    let decoded = decoder.decode(FrameImage::Raw(frame())).unwrap();
    let mut small = RgbImage::default();
    measure("downscaled for the detector", || {
        decoded.image.pixels().downscale(2, &mut small);
    });
    follow(
        "tracks and crops of two flukes",
        &decoded.image,
        &[300, 1200],
    );
    follow("tracks over open sea", &decoded.image, &[]);
}

fn follow(what: &str, image: &DecodedImage, flukes: &[u32]) {
    let grouping = Grouping::Video {
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
        let found = FlukeBoxes::Detected(&found[..flukes.len()]);
        let mut observed = encounters.observe(found, FRAME, MonotonicTimestamp(now));
        if observed.wants_pixels() {
            observed.keep_crops(image.pixels());
        }
        observed.complete();
    });
}
