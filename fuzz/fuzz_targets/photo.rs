//! An image file of any format, as it is checked and decoded.
#![no_main]

use flukewatch_common::file_kind::FileKind;
use flukewatch_common::prepare::{check, decode_photo};
use flukewatch_fuzz::seeds;
use image::{DynamicImage, ImageFormat, RgbaImage};
use std::io::Cursor;

fn seed(format: ImageFormat) -> Vec<u8> {
    let picture = RgbaImage::from_fn(24, 16, |x, y| {
        image::Rgba([x as u8, y as u8, 9, (x * 10) as u8])
    });
    let mut file = Cursor::new(vec![]);
    DynamicImage::from(picture)
        .write_to(&mut file, format)
        .unwrap_or_else(|e| panic!("{format:?}: {e}"));
    file.into_inner()
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP].map(seed));
    },
    |bytes: &[u8]| {
        // Larger pictures only take longer.
        let Ok(header) = flukewatch_common::prepare::header(bytes) else {
            assert!(check(bytes).is_err() && decode_photo(bytes).is_err());
            return;
        };
        assert!(FileKind::of(bytes).is_photo());
        if u64::from(header.width) * u64::from(header.height) > 1 << 20 {
            return;
        }
        if let Ok(photo) = decode_photo(bytes) {
            assert_eq!(photo.picture.dimensions(), (header.width, header.height));
            assert_eq!(check(bytes).ok(), Some(header));
        }
    }
);
