//! A decoded frame: luma only where colour is not needed.

use crate::buffers::{PooledBuffer, PooledImage};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// A decoded frame. Its memory returns to the decoder when it is dropped.
#[derive(Debug)]
pub enum DecodedImage {
    /// Luma, one byte per pixel.
    Grey {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The bytes, row by row.
        luma: PooledBuffer,
    },
    /// Red, green and blue.
    Colour(PooledImage),
}

impl DecodedImage {
    /// A view of the pixels.
    pub fn pixels(&self) -> Pixels<'_> {
        match self {
            Self::Grey {
                width,
                height,
                luma,
            } => Pixels {
                width: *width,
                height: *height,
                channels: 1,
                bytes: luma,
            },
            Self::Colour(image) => Pixels::of(image),
        }
    }
}

/// A view of a frame's pixels: luma, or red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    width: u32,
    height: u32,
    channels: usize,
    bytes: &'a [u8],
}

impl<'a> Pixels<'a> {
    /// A view of an RGB image.
    pub fn of(image: &'a RgbImage) -> Self {
        Self {
            width: image.width(),
            height: image.height(),
            channels: 3,
            bytes: image.as_raw(),
        }
    }

    /// The width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes per pixel: 1 for luma, 3 for RGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The bytes of row `y` from column `x`; empty outside of the image.
    pub fn row(&self, x: u32, y: u32) -> &'a [u8] {
        if x >= self.width || y >= self.height {
            return &[];
        }
        let stride = self.width as usize * self.channels;
        let start = y as usize * stride;
        let row = self.bytes.get(start..start + stride).unwrap_or_default();
        row.get(x as usize * self.channels..).unwrap_or_default()
    }

    /// A copy of `region`, which must lie within the image, in the memory of `reused`. Luma becomes
    /// grey RGB.
    pub fn crop(&self, region: PixelBox, reused: Vec<u8>) -> RgbImage {
        let (width, height) = (region.width(), region.height());
        let mut out = reused;
        out.clear();
        for y in region.y0..region.y1 {
            let row = self.row(region.x0, y);
            let row = row
                .get(..width as usize * self.channels)
                .unwrap_or_default();
            if self.channels == 1 {
                out.extend(row.iter().flat_map(|luma| [*luma; 3]));
            } else {
                out.extend_from_slice(row);
            }
        }
        RgbImage::from_raw(width, height, out).unwrap_or_default()
    }

    /// Downscales the image: each pixel of `into` is the mean of `step` x `step` pixels. Incomplete
    /// squares at the right and bottom are left out.
    pub fn downscale(&self, step: u32, into: &mut RgbImage) {
        let step = step.max(1);
        let (width, height) = (self.width / step, self.height / step);
        let mut out = std::mem::take(into).into_raw();
        out.resize(width as usize * height as usize * 3, 0);
        let among = step * step;
        let values = width as usize * 3;
        for (row, y) in out.chunks_exact_mut(values.max(1)).zip(0..) {
            let top = y * step;
            match (self.channels, step) {
                (1, 1) => {
                    for (pixel, luma) in row.chunks_exact_mut(3).zip(self.row(0, top)) {
                        pixel.fill(*luma);
                    }
                }
                (1, 2) => {
                    let (one, other) = (self.row(0, top), self.row(0, top + 1));
                    let squares = one.chunks_exact(2).zip(other.chunks_exact(2));
                    for (pixel, (a, b)) in row.chunks_exact_mut(3).zip(squares) {
                        // Four bytes fit into 16 bits, so that nothing is checked for overflow here.
                        let sum = [a[0], a[1], b[0], b[1]].map(u16::from);
                        pixel.fill(((sum[0] + sum[1] + sum[2] + sum[3]) / 4) as u8);
                    }
                }
                _ => self.mean(top, step, among, row),
            }
        }
        *into = RgbImage::from_raw(width, height, out).unwrap_or_default();
    }

    /// One row of [`Pixels::downscale`] for any step.
    fn mean(&self, top: u32, step: u32, among: u32, out: &mut [u8]) {
        let square = step as usize * self.channels;
        for (pixel, x) in out.chunks_exact_mut(3).zip(0usize..) {
            let mut sums = [0u32; 3];
            for y in top..top + step {
                let row = self.row(0, y).get(x * square..(x + 1) * square);
                for from in row.unwrap_or_default().chunks_exact(self.channels) {
                    for (sum, value) in sums.iter_mut().zip(from) {
                        *sum += u32::from(*value);
                    }
                }
            }
            for (channel, value) in pixel.iter_mut().enumerate() {
                let sum = if self.channels == 1 {
                    sums[0]
                } else {
                    sums[channel]
                };
                *value = (sum / among) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops;

    fn picture() -> RgbImage {
        RgbImage::from_fn(13, 9, |x, y| {
            image::Rgb([(x * 19) as u8, (y * 27) as u8, (x * y) as u8])
        })
    }

    fn grey() -> (DecodedImage, RgbImage) {
        let luma: Vec<u8> = (0..13 * 9).map(|i| (i * 31 % 251) as u8).collect();
        let spread = luma.iter().flat_map(|l| [*l; 3]).collect();
        let (width, height) = (13, 9);
        let same = RgbImage::from_raw(width, height, spread).unwrap();
        let photo = DecodedImage::Grey {
            width,
            height,
            luma: luma.into(),
        };
        (photo, same)
    }

    #[test]
    fn a_crop_is_that_of_the_image_crate() {
        let region = PixelBox {
            x0: 2,
            y0: 3,
            x1: 13,
            y1: 7,
        };
        let (photo, same) = grey();
        let crop = |of: &RgbImage| imageops::crop_imm(of, 2, 3, 11, 4).to_image();
        assert_eq!(photo.pixels().crop(region, vec![1; 99]), crop(&same));
        let colour = picture();
        assert_eq!(Pixels::of(&colour).crop(region, vec![]), crop(&colour));
    }

    #[test]
    fn a_downscaled_image_is_the_mean_of_squares() {
        let (photo, same) = grey();
        let colour = picture();
        for step in 1..=5 {
            let (mut one, mut other) = (RgbImage::new(3, 3), RgbImage::default());
            photo.pixels().downscale(step, &mut one);
            Pixels::of(&same).downscale(step, &mut other);
            assert_eq!(one, other, "step {step}");
            Pixels::of(&colour).downscale(step, &mut one);
            assert_eq!(one.dimensions(), (13 / step, 9 / step));
            let sum = |channel: usize| -> u32 {
                let square = (0..step).flat_map(|y| (0..step).map(move |x| (x + step, y)));
                square
                    .map(|(x, y)| u32::from(colour.get_pixel(x, y).0[channel]))
                    .sum()
            };
            let expected = [0, 1, 2].map(|c| (sum(c) / (step * step)) as u8);
            assert_eq!(one.get_pixel(1, 0).0, expected);
        }
        photo.pixels().downscale(20, &mut RgbImage::new(1, 1));
    }

    #[test]
    fn there_are_no_pixels_outside() {
        let (photo, _) = grey();
        let pixels = photo.pixels();
        assert_eq!((pixels.row(0, 8).len(), pixels.row(12, 8).len()), (13, 1));
        assert!(pixels.row(13, 0).is_empty() && pixels.row(0, 9).is_empty());
    }
}
