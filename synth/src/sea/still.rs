//! Stills of real seas as backgrounds: moved as a camera on a boat moves, with ripples, changing light, and slightly out of focus.

use super::level::Level;
use crate::noise::step;
use crate::seed::Draw;
use flukewatch_dataset::{Dataset, DatasetError, LabelledPhoto};
use image::RgbImage;
use image::imageops::{self, FilterType};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// How much larger than the picture a still is, so that it can be moved.
const SPARE: f32 = 1.12;

/// Photos of the sea without flukes.
#[derive(Clone, Debug)]
pub struct RealSeas(Vec<LabelledPhoto>);

impl RealSeas {
    /// The photos of a folder and of the folders in it.
    ///
    /// # Errors
    /// If the folder cannot be read or has no photos.
    pub fn open(folder: &Path) -> Result<Self, DatasetError> {
        Ok(Self(Dataset::unlabelled(folder)?.photos))
    }

    /// These photos, one or more.
    pub fn of(photos: Vec<LabelledPhoto>) -> Self {
        Self(photos)
    }

    /// The photos.
    pub fn photos(&self) -> &[LabelledPhoto] {
        &self.0
    }

    /// Decodes photo `number` modulo the count.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn picture(&self, number: usize) -> Result<RgbImage, DatasetError> {
        self.0[number % self.0.len()].decode()
    }
}

/// A photo of the sea that fills a picture.
#[derive(Clone, Debug)]
pub(super) struct Still {
    /// Larger than the picture by [`SPARE`].
    photo: RgbImage,
    /// Amplitude of the ripples at the lower edge, in pixels.
    ripples: f32,
    /// Speed of the camera's pan, in turns per second, and its phase.
    pan: [f32; 2],
    /// Amplitude of the light's changes, as a fraction, with their speed and phase.
    light: [f32; 3],
    /// Whether the picture is out of focus.
    soft: bool,
}

impl Still {
    /// A photo for pictures of `size`.
    pub(super) fn draw(photo: &RgbImage, size: (u32, u32), rng: &mut ChaCha8Rng) -> Self {
        let (across, down) = (size.0 as f32 * SPARE, size.1 as f32 * SPARE);
        let (w, h) = (photo.width() as f32, photo.height() as f32);
        // The part of the photo that has the picture's aspect, with its lower edge, where the sea is.
        let scale = (across / w).max(down / h);
        let (width, height) = ((across / scale).min(w), (down / scale).min(h));
        let left = rng.within(&(0.0..=w - width)) as u32;
        let part = imageops::crop_imm(
            photo,
            left,
            (h - height) as u32,
            (width as u32).max(1),
            (height as u32).max(1),
        );
        let side = |s: f32| (s.ceil() as u32).max(2);
        Self {
            photo: imageops::resize(
                &part.to_image(),
                side(across),
                side(down),
                FilterType::Triangle,
            ),
            ripples: size.0 as f32 * rng.within(&(0.0005..=0.003)),
            pan: [rng.within(&(0.02..=0.08)), rng.within(&(0.0..=1.0))],
            light: [
                rng.low_within(&(0.0..=0.12), 1.5),
                rng.within(&(0.02..=0.1)),
                rng.within(&(0.0..=1.0)),
            ],
            soft: rng.chance(0.3),
        }
    }

    /// Paints it at `time`, moved with the `level` from where it is at `rest`.
    pub(super) fn paint(&self, time: f64, level: &Level, rest: &Level, picture: &mut RgbImage) {
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let (wide, high) = (self.photo.width() as usize, self.photo.height() as usize);
        let [room_x, room_y] = [
            (wide as f32 - width) / 2.0 - 1.0,
            (high as f32 - height) / 2.0 - 1.0,
        ];
        let dx = room_x * (1.0 + wave(time, self.pan));
        let dy = (rest.horizon - level.horizon).clamp(-room_y, room_y) + room_y;
        let slope = level.slope - rest.slope;
        let pixels: &[u8] = &self.photo;
        let bytes: &mut [u8] = picture;
        for (y, line) in bytes.chunks_exact_mut(width as usize * 3).enumerate() {
            let below = ((y as f32 - level.horizon) / (height - level.horizon).max(1.0)).max(0.0);
            let ripple =
                self.ripples * below * wave(time, [0.6 + 0.4 * below, 9.0 / (0.05 + below)]);
            for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
                let u = (x as f32 + dx + ripple).clamp(0.0, wide as f32 - 1.001);
                let v = y as f32 + dy - slope * (x as f32 - width / 2.0);
                let v = v.clamp(0.0, high as f32 - 1.001);
                let (left, top) = (u as usize, v as usize);
                let (fx, fy) = (u - left as f32, v - top as f32);
                let at = (top * wide + left) * 3;
                let (upper, lower) = (&pixels[at..at + 6], &pixels[at + wide * 3..][..6]);
                for (c, value) in pixel.iter_mut().enumerate() {
                    let between = |row: &[u8]| {
                        f32::from(row[c]) + (f32::from(row[c + 3]) - f32::from(row[c])) * fx
                    };
                    let (upper, lower) = (between(upper), between(lower));
                    *value = (upper + (lower - upper) * fy + 0.5) as u8;
                }
            }
        }
    }

    /// Changes the light of the whole picture, and its focus.
    pub(super) fn expose(&self, time: f64, picture: &mut RgbImage) {
        if self.soft {
            soften(picture);
        }
        let [most, speed, phase] = self.light;
        let gain = 1.0 + most * wave(time, [speed, phase]);
        let levels: Vec<u8> = (0..=255u8)
            .map(|level| (f32::from(level) * gain).min(255.0) as u8)
            .collect();
        for value in picture.iter_mut() {
            *value = levels[usize::from(*value)];
        }
    }
}

/// From -1 to 1 over `time`, with a number of turns per second and a phase in turns.
fn wave(time: f64, [speed, phase]: [f32; 2]) -> f32 {
    let turns = (time * f64::from(speed) + f64::from(phase)).fract() as f32;
    // A smooth triangle: the camera hesitates where it turns.
    let to_and_fro = 1.0 - (2.0 * turns - 1.0).abs();
    2.0 * step(0.0, 1.0, to_and_fro) - 1.0
}

/// A blur of three by three pixels.
fn soften(picture: &mut RgbImage) {
    let stride = picture.width() as usize * 3;
    let bytes: &mut [u8] = picture;
    let mean =
        |a: u8, b: u8, c: u8| ((u16::from(a) + 2 * u16::from(b) + u16::from(c) + 2) / 4) as u8;
    for line in bytes.chunks_exact_mut(stride) {
        let mut before = [line[0], line[1], line[2]];
        for at in 0..stride.saturating_sub(3) {
            let here = line[at];
            line[at] = mean(before[at % 3], here, line[at + 3]);
            before[at % 3] = here;
        }
    }
    let mut before = bytes[..stride].to_vec();
    for from in (0..bytes.len().saturating_sub(stride)).step_by(stride) {
        let (line, next) = bytes[from..].split_at_mut(stride);
        for ((before, here), next) in before.iter_mut().zip(line).zip(next.iter()) {
            let old = *here;
            *here = mean(*before, old, *next);
            *before = old;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_flat_pictures_and_spreads_points() {
        let mut flat = RgbImage::from_pixel(9, 7, image::Rgb([10, 20, 30]));
        soften(&mut flat);
        assert!(flat.pixels().all(|p| p.0 == [10, 20, 30]));
        let mut point = RgbImage::new(9, 7);
        point.put_pixel(4, 3, image::Rgb([160, 0, 0]));
        soften(&mut point);
        assert_eq!(point.get_pixel(4, 3).0, [40, 0, 0]);
        assert_eq!(point.get_pixel(3, 2).0, [10, 0, 0]);
        assert_eq!(point.get_pixel(5, 4).0, [10, 0, 0]);
        assert_eq!(point.get_pixel(6, 3).0, [0, 0, 0]);
    }
}
