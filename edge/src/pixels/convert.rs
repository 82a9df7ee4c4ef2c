//! Uncompressed images of V4L2 and Y4M to grey or RGB.
//!
//! By ITU-R BT.601 in 8-bit fixed point. With limited range, black is 16 and white 235:
//!
//! ```text
//! c = 298 (Y - 16), d = U - 128, e = V - 128
//! R = (c + 409 e + 128) / 256,  G = (c - 100 d - 208 e + 128) / 256,  B = (c + 516 d + 128) / 256
//! ```
//!
//! With full range c = 256 Y, and the factors 409; 100, 208; 516 become 359; 88, 183; 454.

use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use flukewatch_common::prepare::{MAX_FULL_SIZE_PIXELS, MAX_SIDE};
use image::RgbImage;

/// An image that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PixelError {
    /// No pixels, or too many.
    #[error(
        "invalid frame size {width} x {height}; expected 1 to {MAX_SIDE} pixels a side and at most {MAX_FULL_SIZE_PIXELS} pixels"
    )]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The stride is shorter than a row.
    #[error("invalid stride of {stride} bytes; {width} pixels need {needed}")]
    Stride {
        /// The stride that the driver reported.
        stride: u32,
        /// Width in pixels.
        width: u32,
        /// The minimum stride in bytes.
        needed: usize,
    },
    /// The image has fewer bytes than its format requires.
    #[error("truncated frame: {got} of {needed} bytes")]
    Short {
        /// Number of bytes received.
        got: usize,
        /// Number of bytes expected.
        needed: usize,
    },
}

/// Checks that `bytes` hold an image of `shape`; returns the number of its pixels.
fn check(layout: PixelLayout, bytes: &[u8], shape: Shape) -> Result<usize, PixelError> {
    let Shape {
        width,
        height,
        stride,
    } = shape;
    let pixels = u64::from(width) * u64::from(height);
    if !(1..=MAX_SIDE).contains(&width)
        || !(1..=MAX_SIDE).contains(&height)
        || pixels > MAX_FULL_SIZE_PIXELS
    {
        return Err(PixelError::Size { width, height });
    }
    let needed = layout.row(width);
    if (stride as usize) < needed || stride > 16 * MAX_SIDE {
        return Err(PixelError::Stride {
            stride,
            width,
            needed,
        });
    }
    let (needed, got) = (layout.size(shape), bytes.len());
    if got < needed {
        return Err(PixelError::Short { got, needed });
    }
    Ok(width as usize * height as usize)
}

/// Writes the luma of `bytes` to `out`, one byte per pixel.
///
/// # Errors
/// When `bytes` are too few, or the shape is invalid.
pub fn to_grey(
    layout: PixelLayout,
    bytes: &[u8],
    shape: Shape,
    range: ColourRange,
    out: &mut Vec<u8>,
) -> Result<(), PixelError> {
    let pixels = check(layout, bytes, shape)?;
    let [luma, ..] = layout.planes(shape).ok_or(PixelError::Size {
        width: shape.width,
        height: shape.height,
    })?;
    out.resize(pixels, 0);
    let luma_of = luma_table(range);
    for (row, y) in out.chunks_exact_mut(shape.width as usize).zip(0..) {
        let from = luma.row(bytes, y).iter().step_by(luma.step);
        for (out, value) in row.iter_mut().zip(from) {
            *out = luma_of[usize::from(*value)];
        }
    }
    Ok(())
}

/// Converts `bytes` to RGB in the memory of `reused`. With `grey`, chroma is ignored.
///
/// # Errors
/// When `bytes` are too few, or the shape is invalid.
pub fn to_rgb(
    layout: PixelLayout,
    bytes: &[u8],
    shape: Shape,
    range: ColourRange,
    grey: bool,
    reused: Vec<u8>,
) -> Result<RgbImage, PixelError> {
    let pixels = check(layout, bytes, shape)?;
    let too_large = PixelError::Size {
        width: shape.width,
        height: shape.height,
    };
    let planes = layout.planes(shape).ok_or(too_large.clone())?;
    let mut out = reused;
    out.resize(pixels * 3, 0);
    let rows = out.chunks_exact_mut(shape.width as usize * 3).zip(0..);
    if grey || layout == PixelLayout::Grey {
        let luma_of = luma_table(range);
        for (row, y) in rows {
            let from = planes[0].row(bytes, y);
            for (pixel, x) in row.chunks_exact_mut(3).zip(0..) {
                pixel.fill(luma_of[usize::from(planes[0].value(from, x))]);
            }
        }
    } else {
        let [luma, blue, red] = planes;
        for (row, y) in rows {
            let (ys, us, vs) = (luma.row(bytes, y), blue.row(bytes, y), red.row(bytes, y));
            for (pixel, x) in row.chunks_exact_mut(3).zip(0..) {
                let rgb = rgb(
                    luma.value(ys, x),
                    blue.value(us, x),
                    red.value(vs, x),
                    range,
                );
                pixel.copy_from_slice(&rgb);
            }
        }
    }
    RgbImage::from_raw(shape.width, shape.height, out).ok_or(too_large)
}

fn clamp(value: i32) -> u8 {
    (value >> 8).clamp(0, 255) as u8
}

/// The grey value of each Y.
fn luma_table(range: ColourRange) -> [u8; 256] {
    let mut table = [0; 256];
    for (grey, y) in table.iter_mut().zip(0..) {
        *grey = match range {
            ColourRange::Full => y as u8,
            ColourRange::Limited => clamp(298 * (y - 16) + 128),
        };
    }
    table
}

#[inline]
fn rgb(y: u8, u: u8, v: u8, range: ColourRange) -> [u8; 3] {
    let (y, d, e) = (i32::from(y), i32::from(u) - 128, i32::from(v) - 128);
    match range {
        ColourRange::Limited => {
            let c = 298 * (y - 16) + 128;
            [
                clamp(c + 409 * e),
                clamp(c - 100 * d - 208 * e),
                clamp(c + 516 * d),
            ]
        }
        ColourRange::Full => {
            let c = 256 * y + 128;
            [
                clamp(c + 359 * e),
                clamp(c - 88 * d - 183 * e),
                clamp(c + 454 * d),
            ]
        }
    }
}

#[cfg(test)]
mod tests;
