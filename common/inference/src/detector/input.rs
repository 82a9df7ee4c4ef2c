//! From a frame to the detector's input: scaled down with its aspect kept, in grey, centred in the
//! input; the rest is filled with the frame's mean.

use fast_image_resize as fr;
use flukewatch_common::prepare::{Colour, Fit, Preparation, PrepareError};
use fr::images::{TypedImage, TypedImageRef};
use fr::pixels::U8x3;
use image::RgbImage;
use ndarray::{Array3, ArrayView3};

/// The position and scale of a frame in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The width and height of the frame in pixels.
    pub frame: (u32, u32),
    /// Input pixels per frame pixel, horizontally and vertically: equal except for rounding.
    pub scale: [f32; 2],
    /// The column and row of the input at which the frame starts.
    pub start: [f32; 2],
}

/// Converts frames to the detector's input in a reused buffer.
pub struct DetectorInput {
    width: u32,
    height: u32,
    mean: f32,
    deviation: f32,
    resizer: fr::Resizer,
    /// The reduced frame, as RGB.
    small: Vec<u8>,
    numbers: Array3<f32>,
}

impl DetectorInput {
    /// A converter for a detector's preparation.
    ///
    /// # Errors
    /// When the preparation is not grey and letterboxed, or its numbers are out of range.
    pub fn new(preparation: &Preparation) -> Result<Self, PrepareError> {
        preparation.validate()?;
        if preparation.colour != Colour::Grey || preparation.fit != Fit::Letterbox {
            return Err(PrepareError::InvalidPreparation(
                "a detector needs colour grey and fit letterbox".into(),
            ));
        }
        let (width, height) = (preparation.width, preparation.height);
        Ok(Self {
            width,
            height,
            // One channel, as checked above.
            mean: preparation.mean.first().copied().unwrap_or(0.0),
            deviation: preparation.std.first().copied().unwrap_or(1.0),
            resizer: fr::Resizer::new(),
            small: vec![],
            numbers: Array3::zeros((1, height as usize, width as usize)),
        })
    }

    /// Converts a frame and returns its placement in the input.
    ///
    /// # Errors
    /// For a frame without pixels.
    pub fn fill(&mut self, frame: &RgbImage) -> Result<Placement, PrepareError> {
        let (width, height) = frame.dimensions();
        if width == 0 || height == 0 {
            return Err(PrepareError::Undecodable("it has no pixels".into()));
        }
        let scale = (self.width as f32 / width as f32).min(self.height as f32 / height as f32);
        let side = |s: u32, most: u32| ((s as f32 * scale).round() as u32).clamp(1, most);
        let (w, h) = (side(width, self.width), side(height, self.height));
        let bad = |e: &dyn std::fmt::Display| PrepareError::InvalidPreparation(e.to_string());
        let grey: &[u8] = if (w, h) == (width, height) {
            frame
        } else {
            self.small.resize(w as usize * h as usize * 3, 0);
            let mut small =
                TypedImage::<U8x3>::from_buffer(w, h, &mut self.small).map_err(|e| bad(&e))?;
            let whole =
                TypedImageRef::<U8x3>::from_buffer(width, height, frame).map_err(|e| bad(&e))?;
            let filter = fr::ResizeAlg::Convolution(fr::FilterType::Bilinear);
            let options = fr::ResizeOptions::new().resize_alg(filter);
            self.resizer
                .resize_typed(&whole, &mut small, &options)
                .map_err(|e| bad(&e))?;
            &self.small
        };
        let (left, top) = ((self.width - w) / 2, (self.height - h) / 2);
        let mut sum = 0u64;
        let factor = 1.0 / (1000.0 * self.deviation);
        let shift = self.mean / self.deviation;
        let row_length = self.width as usize;
        let Some(numbers) = self.numbers.as_slice_mut() else {
            return Err(PrepareError::InvalidPreparation(
                "the input buffer is not contiguous".into(),
            ));
        };
        let rows = numbers.chunks_exact_mut(row_length);
        for (row, pixels) in rows
            .skip(top as usize)
            .zip(grey.chunks_exact(w as usize * 3))
        {
            let mut row_sum = 0u32;
            for (number, pixel) in row
                .iter_mut()
                .skip(left as usize)
                .zip(pixels.as_chunks::<3>().0)
            {
                let [r, g, b] = pixel.map(u32::from);
                let luma = 299 * r + 587 * g + 114 * b;
                row_sum += luma / 1000;
                *number = luma as f32 * factor - shift;
            }
            sum += u64::from(row_sum);
        }
        if (w, h) != (self.width, self.height) {
            let mean = sum as f32 / (w * h) as f32;
            let mean = (mean - self.mean) / self.deviation;
            let (left, top) = (left as usize, top as usize);
            let (right, bottom) = (left + w as usize, top + h as usize);
            for (y, row) in numbers.chunks_exact_mut(row_length).enumerate() {
                if (top..bottom).contains(&y) {
                    row[..left].fill(mean);
                    row[right..].fill(mean);
                } else {
                    row.fill(mean);
                }
            }
        }
        Ok(Placement {
            frame: (width, height),
            scale: [w as f32 / width as f32, h as f32 / height as f32],
            start: [left as f32, top as f32],
        })
    }

    /// The numbers `[1, height, width]` of the last frame.
    pub fn numbers(&self) -> ArrayView3<'_, f32> {
        self.numbers.view()
    }
}
