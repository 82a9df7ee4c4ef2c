//! The memory that a photo of a 110-megapixel camera takes. Alone in its program, since it measures that.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::prepare::decode_photo;
use image::codecs::jpeg::JpegEncoder;
use image::{GenericImageView, Rgb};

const WIDTH: u32 = 12_288;
const HEIGHT: u32 = 9_000;

/// Drawn pixel by pixel, so that making the file takes no memory.
struct Drawn;

impl GenericImageView for Drawn {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        Rgb([(x / 64) as u8, (y / 64) as u8, ((x ^ y) / 16) as u8])
    }
}

/// The most memory that this program has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() << 10
}

#[test]
fn a_photo_of_110_megapixels_takes_less_memory_than_its_pixels() {
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 80)
        .encode_image(&Drawn)
        .unwrap();
    let before = peak();
    let photo = decode_photo(&file).unwrap();
    let taken = peak() - before;
    assert_eq!(photo.picture.dimensions(), (WIDTH / 2, HEIGHT / 2));
    let expected = Drawn.get_pixel(6_432, 3_232).0;
    let found = photo.picture.get_pixel(3_216, 1_616).0;
    assert!(
        expected.iter().zip(found).all(|(a, b)| a.abs_diff(b) < 24),
        "{expected:?} {found:?}"
    );
    // Two copies of a picture of a fourth of the pixels, and the file.
    let pixels = u64::from(WIDTH) * u64::from(HEIGHT);
    let bound = pixels * 3 / 2 + 3 * file.len() as u64 + (16 << 20);
    assert!(taken < bound, "{taken} bytes, expected at most {bound}");
    assert!(bound < pixels * 3);
}
