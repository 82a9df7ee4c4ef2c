//! Whether a picture that a boat sent can be shown.

use flukewatch_common::prepare;
use image::{ImageFormat, ImageReader};
use std::io::Cursor;
use std::panic::catch_unwind;

/// Limit of a picture's width and height, in pixels.
pub const MAX_PICTURE_SIDE: u32 = 8192;
/// Limit of a picture's area; a file of 200 kB may decompress to far more.
pub const MAX_PICTURE_PIXELS: u64 = 16_000_000;

/// Whether `bytes` are a JPEG that a browser can display. A third-party decoder reads untrusted bytes: if it panics,
/// they are not.
pub(crate) fn is_displayable(bytes: &[u8]) -> bool {
    catch_unwind(|| is_readable(bytes)).unwrap_or(false)
}

fn is_readable(bytes: &[u8]) -> bool {
    let dimensions =
        ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg).into_dimensions();
    let within_limits = |(width, height): (u32, u32)| {
        let side = 1..=MAX_PICTURE_SIDE;
        side.contains(&width)
            && side.contains(&height)
            && u64::from(width) * u64::from(height) <= MAX_PICTURE_PIXELS
    };
    dimensions.is_ok_and(within_limits) && prepare::decode(bytes).is_ok()
}
