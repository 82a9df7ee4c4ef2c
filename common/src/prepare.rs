//! From a photo to the input of a model: one implementation for training, evaluation and the boat.
//!
//! decode → crop the box with padding → grey or colour → stretch or letterbox with antialiasing → normalise.

mod decode;
mod error;

pub use crate::photo_limits::{MAX_FULL_SIZE_PIXELS, MAX_PIXELS, MAX_SIDE};
pub use decode::{Header, Photo, check, decode, decode_photo, header};
pub use error::PrepareError;

use crate::input_area::InputArea;
use crate::pixel_box::PixelBox;
use fast_image_resize as fr;
use fr::images::{TypedImage, TypedImageRef};
use image::{GrayImage, RgbImage};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// The channels of a model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// One channel: luma by Rec. 601.
    Grey,
    /// Three channels: red, green, blue.
    Rgb,
}

/// How a crop of any shape fills the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Both sides are scaled to the input's; the aspect is not kept.
    Stretch,
    /// The aspect is kept; the rest is filled with the crop's mean colour.
    Letterbox,
}

/// How a bundle's model is given a photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// The height of the input in pixels.
    pub height: u32,
    /// The width of the input in pixels.
    pub width: u32,
    /// The channels of the input.
    pub colour: Colour,
    /// How the crop fills the input.
    pub fit: Fit,
    /// How far the box is widened on each side, as a fraction of its width and height.
    pub padding: f32,
    /// Subtracted from each value 0..=255, one number per channel.
    pub mean: Vec<f32>,
    /// Divides the result, one number per channel.
    pub std: Vec<f32>,
}

impl Preparation {
    /// The number of channels, 1 or 3.
    pub fn channels(&self) -> usize {
        match self.colour {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }

    /// # Errors
    /// [`PrepareError::InvalidPreparation`] when the numbers are out of range or do not fit together.
    pub fn validate(&self) -> Result<(), PrepareError> {
        let bad = |what: &str| Err(PrepareError::InvalidPreparation(what.to_owned()));
        if !(8..=4096).contains(&self.height) || !(8..=4096).contains(&self.width) {
            return bad("height and width must be 8 to 4096 pixels");
        }
        if !(0.0..=1.0).contains(&self.padding) {
            return bad("the padding must be 0 to 1");
        }
        if self.mean.len() != self.channels() || self.std.len() != self.channels() {
            return bad("mean and std need one number per channel");
        }
        if self.mean.iter().any(|m| !m.is_finite())
            || self.std.iter().any(|d| !d.is_finite() || *d <= 0.0)
        {
            return bad("mean must be finite and std above 0");
        }
        Ok(())
    }

    /// `region` widened by the padding and clipped to the photo.
    ///
    /// # Errors
    /// [`PrepareError::BoxOutside`] when the box touches no pixel.
    pub fn widened(
        &self,
        region: PixelBox,
        width: u32,
        height: u32,
    ) -> Result<PixelBox, PrepareError> {
        let outside = PrepareError::BoxOutside {
            region,
            width,
            height,
        };
        if region.within(width, height).is_none() {
            return Err(outside);
        }
        let dx = (region.width() as f32 * self.padding).round() as u32;
        let dy = (region.height() as f32 * self.padding).round() as u32;
        PixelBox {
            x0: region.x0.saturating_sub(dx),
            y0: region.y0.saturating_sub(dy),
            x1: region.x1.saturating_add(dx),
            y1: region.y1.saturating_add(dy),
        }
        .within(width, height)
        .ok_or(outside)
    }

    /// The width and height that a crop of the given size has in the input: all of it, or less where a
    /// letterbox leaves the rest to the mean colour, in equal parts on both sides.
    pub fn fitted_size(&self, width: u32, height: u32) -> (u32, u32) {
        match self.fit {
            Fit::Stretch => (self.width, self.height),
            Fit::Letterbox => {
                let scale =
                    (self.width as f32 / width as f32).min(self.height as f32 / height as f32);
                let side = |s: u32, limit: u32| ((s as f32 * scale).round() as u32).clamp(1, limit);
                (side(width, self.width), side(height, self.height))
            }
        }
    }

    /// The part of the input that shows a crop of the given size, `[left, top, right, bottom]` as fractions of the input's sides:
    /// all of it, or less where a letterbox leaves the rest to the mean colour.
    pub fn crop_in_input(&self, width: u32, height: u32) -> [f32; 4] {
        let (inner_w, inner_h) = self.fitted_size(width, height);
        let share = |inner: u32, side: u32| {
            let bar = (side - inner) / 2;
            [bar, bar + inner].map(|at| at as f32 / side as f32)
        };
        let [left, right] = share(inner_w, self.width);
        let [top, bottom] = share(inner_h, self.height);
        [left, top, right, bottom]
    }

    /// The part of a photo of `width` x `height` that the input of its crop `crop` covers ([`Preparation::widened`]).
    pub fn input_area(&self, crop: PixelBox, width: u32, height: u32) -> InputArea {
        let shown = self
            .crop_in_input(crop.width(), crop.height())
            .map(f64::from);
        let span = |from: u32, to: u32, shown_from: f64, shown_to: f64| {
            let (from, to) = (f64::from(from), f64::from(to));
            let input = (to - from) / (shown_to - shown_from);
            [from - shown_from * input, to + (1.0 - shown_to) * input].map(|at| at.round() as i32)
        };
        let [left, right] = span(crop.x0, crop.x1, shown[0], shown[2]);
        let [top, bottom] = span(crop.y0, crop.y1, shown[1], shown[3]);
        InputArea {
            width,
            height,
            left,
            top,
            right,
            bottom,
        }
    }

    /// Crops and resizes to `[height, width, C] u8`, the last step before [`Preparation::normalise`].
    ///
    /// # Errors
    /// When the box lies outside the photo.
    pub fn pixels(&self, photo: &RgbImage, region: PixelBox) -> Result<Array3<u8>, PrepareError> {
        let region = self.widened(region, photo.width(), photo.height())?;
        let crop =
            image::imageops::crop_imm(photo, region.x0, region.y0, region.width(), region.height())
                .to_image();
        let bytes = match self.colour {
            Colour::Rgb => crop.into_raw(),
            Colour::Grey => luma(&crop).into_raw(),
        };
        let channels = self.channels();
        let (inner_w, inner_h) = self.fitted_size(region.width(), region.height());
        let mean = mean_colour(&bytes, channels);
        let resize = match self.colour {
            Colour::Rgb => resize::<fr::pixels::U8x3>,
            Colour::Grey => resize::<fr::pixels::U8>,
        };
        let resized = resize(
            &bytes,
            (region.width(), region.height()),
            (inner_w, inner_h),
        )?;
        let (h, w) = (self.height as usize, self.width as usize);
        let (ih, iw) = (inner_h as usize, inner_w as usize);
        if (ih, iw) == (h, w) {
            return Array3::from_shape_vec((h, w, channels), resized)
                .map_err(|e| PrepareError::InvalidPreparation(e.to_string()));
        }
        let (top, left) = ((h - ih) / 2, (w - iw) / 2);
        Ok(Array3::from_shape_fn((h, w, channels), |(y, x, c)| {
            if (top..top + ih).contains(&y) && (left..left + iw).contains(&x) {
                resized[((y - top) * iw + (x - left)) * channels + c]
            } else {
                mean[c]
            }
        }))
    }

    /// `[height, width, C] u8` to the model's input `[C, height, width] f32`, mirrored left to right if `mirrored`.
    pub fn normalise(&self, pixels: &Array3<u8>, mirrored: bool) -> Array3<f32> {
        let (h, w, c) = pixels.dim();
        let mut planes = Array3::from_shape_fn((c, h, w), |(c, y, x)| {
            let x = if mirrored { w - 1 - x } else { x };
            f32::from(pixels[(y, x, c)])
        });
        if let Some(planes) = planes.as_slice_mut() {
            self.normalise_planes(planes);
        }
        planes
    }

    /// Levels 0..=255 to the model's input in place, `[C, height, width]` in row-major order.
    pub fn normalise_planes(&self, planes: &mut [f32]) {
        let plane = planes.len() / self.channels();
        let numbers = self.mean.iter().zip(&self.std);
        for (plane, (mean, std)) in planes.chunks_exact_mut(plane).zip(numbers) {
            for v in plane {
                *v = (*v - mean) / std;
            }
        }
    }
}

fn luma(crop: &RgbImage) -> GrayImage {
    GrayImage::from_fn(crop.width(), crop.height(), |x, y| {
        let [r, g, b] = crop.get_pixel(x, y).0.map(u32::from);
        image::Luma([((299 * r + 587 * g + 114 * b + 500) / 1000) as u8])
    })
}

fn mean_colour(bytes: &[u8], channels: usize) -> Vec<u8> {
    let pixels = (bytes.len() / channels).max(1) as u64;
    (0..channels)
        .map(|c| {
            (bytes
                .iter()
                .skip(c)
                .step_by(channels)
                .map(|&b| u64::from(b))
                .sum::<u64>()
                / pixels) as u8
        })
        .collect()
}

/// Generic, since code for the pixels of all types would be a tenth of a boat's program.
fn resize<P: fr::PixelTrait>(
    bytes: &[u8],
    from: (u32, u32),
    to: (u32, u32),
) -> Result<Vec<u8>, PrepareError> {
    let bad = |e: &dyn std::fmt::Display| PrepareError::InvalidPreparation(e.to_string());
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, bytes).map_err(|e| bad(&e))?;
    let mut resized = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let mut target = TypedImage::<P>::from_buffer(to.0, to.1, &mut resized).map_err(|e| bad(&e))?;
    let options =
        fr::ResizeOptions::new().resize_alg(fr::ResizeAlg::Convolution(fr::FilterType::Bilinear));
    fr::Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|e| bad(&e))?;
    Ok(resized)
}

#[cfg(test)]
mod tests;
