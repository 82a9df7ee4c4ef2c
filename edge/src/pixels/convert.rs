//! Uncompressed pictures, laid out as V4L2 and Y4M lay them out, to RGB.
//!
//! Colours by ITU-R BT.601 in 8-bit fixed point. With limited range, black is 16 and white 235:
//!
//! ```text
//! c = 298 (Y - 16), d = U - 128, e = V - 128
//! R = (c + 409 e + 128) / 256,  G = (c - 100 d - 208 e + 128) / 256,  B = (c + 516 d + 128) / 256
//! ```
//!
//! and with full range c = 256 Y, and 359; 88, 183; 454 in the places of 409; 100, 208; 516.

use flukewatch_common::prepare::{MAX_PIXELS, MAX_SIDE};
use image::RgbImage;

/// How brightness (Y) and colour (U, V) lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Brightness alone, a byte a pixel (`GREY`, Y4M's `mono`).
    Grey,
    /// `Y0 U Y1 V` for each two pixels of a row (`YUYV`).
    Yuyv,
    /// A plane of Y, then one of U and V in turn for each 2x2 pixels (`NV12`).
    Nv12,
    /// Three planes; U and V for each 2x2 pixels.
    Planar420,
    /// Three planes; U and V for each two pixels of a row.
    Planar422,
    /// Three planes; U and V for each pixel.
    Planar444,
}

/// What black and white are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Range {
    /// 16 to 235, as video has it.
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

/// A picture's size in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bytes from one row of the first plane to the next; at least what a row needs.
    pub stride: u32,
}

/// Why bytes are no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PixelError {
    /// No pixels, or more than are read.
    #[error(
        "a frame of {width} x {height} pixels; 1 to {MAX_SIDE} a side and {MAX_PIXELS} in all are read"
    )]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Rows that overlap.
    #[error("rows of {stride} bytes, where {width} pixels need {needed}")]
    Stride {
        /// What the driver says.
        stride: u32,
        /// Pixels across.
        width: u32,
        /// What a row takes.
        needed: usize,
    },
    /// Cut off.
    #[error("the frame is cut off: {got} bytes of {needed}")]
    Short {
        /// How many there are.
        got: usize,
        /// How many there must be.
        needed: usize,
    },
}

impl Layout {
    /// Bytes that a row of the first plane takes at least.
    pub fn row(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Yuyv => width.div_ceil(2) * 4,
            Self::Nv12 => width.next_multiple_of(2),
            _ => width,
        }
    }

    /// Bytes of a whole picture; its last row may end where its pixels do.
    pub fn size(self, shape: Shape) -> usize {
        self.planes(shape).map_or(0, |planes| {
            planes.iter().map(|p| p.end(shape)).max().unwrap_or(0)
        })
    }

    /// Where Y, U and V lie; grey pictures have the one plane thrice. `None` where that is beyond what an address reaches.
    fn planes(self, shape: Shape) -> Option<[Plane; 3]> {
        let (stride, height) = (shape.stride as usize, shape.height as usize);
        let luma = stride.checked_mul(height)?;
        let plane = |start, stride, step, across, down| Plane {
            start,
            stride,
            step,
            across,
            down,
        };
        let half = (stride.div_ceil(2), height.div_ceil(2));
        Some(match self {
            Self::Grey => [plane(0, stride, 1, 0, 0); 3],
            Self::Yuyv => [
                plane(0, stride, 2, 0, 0),
                plane(1, stride, 4, 1, 0),
                plane(3, stride, 4, 1, 0),
            ],
            Self::Nv12 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, stride, 2, 1, 1),
                plane(luma + 1, stride, 2, 1, 1),
            ],
            Self::Planar420 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, half.0, 1, 1, 1),
                plane(luma + half.0 * half.1, half.0, 1, 1, 1),
            ],
            Self::Planar422 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, half.0, 1, 1, 0),
                plane(luma + half.0 * height, half.0, 1, 1, 0),
            ],
            Self::Planar444 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, stride, 1, 0, 0),
                plane(luma * 2, stride, 1, 0, 0),
            ],
        })
    }
}

/// One of Y, U and V in memory.
#[derive(Clone, Copy)]
struct Plane {
    start: usize,
    stride: usize,
    /// Bytes from one value to the next.
    step: usize,
    /// Pixels across that share a value, as a power of two.
    across: u32,
    /// Pixels down that do.
    down: u32,
}

impl Plane {
    /// Where its last value ends.
    fn end(self, shape: Shape) -> usize {
        let last = |pixels: u32, shared: u32| (pixels.saturating_sub(1) >> shared) as usize;
        self.start
            + last(shape.height, self.down) * self.stride
            + last(shape.width, self.across) * self.step
            + 1
    }

    fn row(self, bytes: &[u8], y: u32) -> &[u8] {
        let start = self.start + (y >> self.down) as usize * self.stride;
        bytes.get(start..).unwrap_or_default()
    }

    fn value(self, row: &[u8], x: u32) -> u8 {
        row.get((x >> self.across) as usize * self.step)
            .copied()
            .unwrap_or_default()
    }
}

/// Checks that `bytes` hold a picture of `shape`, and says how many pixels it has.
fn check(layout: Layout, bytes: &[u8], shape: Shape) -> Result<usize, PixelError> {
    let Shape {
        width,
        height,
        stride,
    } = shape;
    let pixels = u64::from(width) * u64::from(height);
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) || pixels > MAX_PIXELS
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

/// The brightness of `bytes`, a byte a pixel, in the memory of `reused`.
///
/// # Errors
/// When `bytes` are too few, or the shape makes no sense.
pub fn to_grey(
    layout: Layout,
    bytes: &[u8],
    shape: Shape,
    range: Range,
    reused: Vec<u8>,
) -> Result<Vec<u8>, PixelError> {
    let pixels = check(layout, bytes, shape)?;
    let [luma, ..] = layout.planes(shape).ok_or(PixelError::Size {
        width: shape.width,
        height: shape.height,
    })?;
    let mut out = reused;
    out.resize(pixels, 0);
    let light = brightness(range);
    for (row, y) in out.chunks_exact_mut(shape.width as usize).zip(0..) {
        let from = luma.row(bytes, y).iter().step_by(luma.step);
        for (out, value) in row.iter_mut().zip(from) {
            *out = light[usize::from(*value)];
        }
    }
    Ok(out)
}

/// The pixels of `bytes`, in the memory of `reused`. With `grey`, colours are passed over.
///
/// # Errors
/// When `bytes` are too few, or the shape makes no sense.
pub fn to_rgb(
    layout: Layout,
    bytes: &[u8],
    shape: Shape,
    range: Range,
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
    if grey || layout == Layout::Grey {
        let light = brightness(range);
        for (row, y) in rows {
            let from = planes[0].row(bytes, y);
            for (pixel, x) in row.chunks_exact_mut(3).zip(0..) {
                pixel.fill(light[usize::from(planes[0].value(from, x))]);
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

/// Grey for each Y.
fn brightness(range: Range) -> [u8; 256] {
    let mut table = [0; 256];
    for (light, y) in table.iter_mut().zip(0..) {
        *light = match range {
            Range::Full => y as u8,
            Range::Limited => clamp(298 * (y - 16) + 128),
        };
    }
    table
}

#[inline]
fn rgb(y: u8, u: u8, v: u8, range: Range) -> [u8; 3] {
    let (y, d, e) = (i32::from(y), i32::from(u) - 128, i32::from(v) - 128);
    match range {
        Range::Limited => {
            let c = 298 * (y - 16) + 128;
            [
                clamp(c + 409 * e),
                clamp(c - 100 * d - 208 * e),
                clamp(c + 516 * d),
            ]
        }
        Range::Full => {
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
