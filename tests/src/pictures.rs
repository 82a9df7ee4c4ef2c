//! Test pictures: flukes that a tiny bundle distinguishes, and damaged files.

use flukewatch_common::pixel_box::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};

/// The fluke's box in a [`frame`].
pub const FLUKE: PixelBox = PixelBox {
    x0: 40,
    y0: 20,
    x1: 168,
    y1: 84,
};

/// The fluke of whale `number`: a pattern of 16 x 8 light or dark fields, unique to the whale.
pub fn fluke(number: u32) -> RgbImage {
    RgbImage::from_fn(FLUKE.width(), FLUKE.height(), |x, y| {
        let field = (y / 8) * 16 + x / 8;
        let mixed = (number.wrapping_mul(977) ^ field.wrapping_mul(0x9e37_79b9))
            .wrapping_mul(0x85eb_ca6b)
            .rotate_left(13)
            .wrapping_mul(0xc2b2_ae35);
        Rgb([if mixed.count_ones().is_multiple_of(2) {
            30
        } else {
            220
        }; 3])
    })
}

/// A frame of open sea, or with the fluke of a whale at [`FLUKE`].
pub fn frame(whale: Option<u32>) -> RgbImage {
    let mut frame = RgbImage::from_pixel(208, 104, Rgb([90, 110, 130]));
    if let Some(number) = whale {
        imageops::replace(
            &mut frame,
            &fluke(number),
            i64::from(FLUKE.x0),
            i64::from(FLUKE.y0),
        );
    }
    frame
}

/// Encodes a picture as a JPEG file.
///
/// # Panics
/// Never: pictures of these sizes can be encoded.
pub fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 90)
        .encode_image(picture)
        .unwrap();
    file
}

/// A photo of a whale's fluke, as a JPEG file. Photos of different names differ in their fine
/// structure, as if taken on different days, so that they are not near-duplicates.
///
/// # Panics
/// Never: a fluke has pixels.
pub fn photo(whale: u32, name: &str) -> Vec<u8> {
    let light = name.bytes().fold(0x811c_9dc5u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let mut picture = fluke(whale);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let spot = (light ^ (y / 2 * 64 + x / 2).wrapping_mul(0x9e37_79b9))
            .wrapping_mul(0x85eb_ca6b)
            .rotate_left(13)
            .wrapping_mul(0xc2b2_ae35);
        // Fields of 8 x 8 pixels keep their mean, nearly.
        let brighter = spot.count_ones().is_multiple_of(2);
        for value in &mut pixel.0 {
            *value = *value / 5 * 2 + 30 + if brighter { 80 } else { 0 };
        }
    }
    jpeg(&picture)
}

/// The JPEG file with an EXIF orientation, 1 to 8.
pub fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let (start, rest) = jpeg.split_at(2);
    [start, &[0xff, 0xe1], &length, &exif, rest].concat()
}

/// A JPEG file that is cut off in the middle.
pub fn truncated() -> Vec<u8> {
    let large = imageops::resize(&fluke(1), 1024, 512, imageops::FilterType::Triangle);
    let mut file = jpeg(&large);
    file.truncate(file.len() / 2);
    file
}

/// A small JPEG file with a header that announces 20,000 x 20,000 pixels.
///
/// # Panics
/// Never: every baseline JPEG has a frame header.
pub fn enormous() -> Vec<u8> {
    let mut file = jpeg(&fluke(1));
    // The frame header: marker, length (2 bytes), precision, height (2), width (2).
    let header = file.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let side = 20_000u16.to_be_bytes();
    file[header + 5..header + 7].copy_from_slice(&side);
    file[header + 7..header + 9].copy_from_slice(&side);
    file
}
