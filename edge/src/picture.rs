//! Whether a camera's pictures can show a fluke: dark, frozen and blurred ones cannot.
//!
//! A frame a second is measured on a grid. A camera that sends the same picture again and again is frozen:
//! noise changes every real one. Blur, e.g. of salt or water on the lens, is relative to the sharpness
//! that the same camera has had: seas and lenses differ too much for one threshold.

use crate::levels::Levels;
use crate::time::MonotonicTimestamp;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How often a frame is measured.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows and columns between two points.
const STEP: u32 = 6;
/// The distance of coarse structures, in pixels.
const COARSE: u32 = 8;
/// A picture below these grey levels of brightness and contrast is dark.
const DARK: (f32, f32) = (16.0, 8.0);
/// A picture that differs by less is the same, in grey levels.
const SAME: f32 = 0.02;
/// The weight of a new picture in the sharpness: a mean over a minute.
const NEW: f32 = 1.0 / 60.0;
/// The best sharpness falls by this factor a second, to a half in a day: the sea differs by weather.
const FORGETTING: f32 = 0.999_992;
/// Pictures before the sharpness is known.
const LEARNING: u32 = 60;

/// What is wrong with the pictures of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFault {
    /// Night, or a lens that is covered.
    Dark,
    /// They do not change.
    Frozen,
    /// Less sharp than before.
    Blurred,
}

impl fmt::Display for PictureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dark => "dark: night, or the lens is covered",
            Self::Frozen => "frozen: the camera repeats the same picture",
            Self::Blurred => "blurred: clean the lens",
        })
    }
}

/// Measures of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measures {
    /// The mean of the grid's grey levels.
    brightness: f32,
    /// Their standard deviation.
    contrast: f32,
    /// Differences of neighbouring pixels, as a fraction of those at a distance of [`COARSE`]; it does not
    /// depend on contrast.
    sharpness: f32,
}

/// Watches the pictures of one camera.
#[derive(Clone, Debug)]
pub struct PictureMonitor {
    levels: Levels,
    measured: Option<MonotonicTimestamp>,
    /// The grid's grey levels in the last picture and in this one.
    last: Vec<u8>,
    now: Vec<u8>,
    pictures: u32,
    sharpness: f32,
    best: f32,
    /// Since when each condition holds.
    dark: Option<MonotonicTimestamp>,
    frozen: Option<MonotonicTimestamp>,
    blurred: Option<MonotonicTimestamp>,
}

impl PictureMonitor {
    /// A monitor of a camera that has sent nothing yet.
    pub fn new(levels: Levels) -> Self {
        Self {
            levels,
            measured: None,
            last: vec![],
            now: vec![],
            pictures: 0,
            sharpness: 0.0,
            best: 0.0,
            dark: None,
            frozen: None,
            blurred: None,
        }
    }

    /// Measures a picture taken at `taken` if it is due. Returns what is wrong with the pictures, and since
    /// when; outside, `None` where it was not due.
    pub fn observe(
        &mut self,
        picture: &RgbImage,
        taken: MonotonicTimestamp,
    ) -> Option<Option<(PictureFault, MonotonicTimestamp)>> {
        if self
            .measured
            .is_some_and(|last| taken.since(last) < INTERVAL)
        {
            return None;
        }
        self.measured = Some(taken);
        let measures = self.measure(picture)?;
        let is_dark = measures.brightness < DARK.0 && measures.contrast < DARK.1;
        // Pictures of the night may be the same.
        let is_frozen = !is_dark && self.change().is_some_and(|change| change < SAME);
        if !is_dark && !is_frozen {
            self.learn(measures.sharpness);
        }
        let fraction = self.levels.blurred_fraction as f32;
        let is_blurred =
            !is_dark && self.pictures >= LEARNING && self.sharpness < fraction * self.best;
        for (since, holds) in [
            (&mut self.dark, is_dark),
            (&mut self.frozen, is_frozen),
            (&mut self.blurred, is_blurred),
        ] {
            *since = holds.then(|| since.unwrap_or(taken));
        }
        std::mem::swap(&mut self.last, &mut self.now);
        let levels = &self.levels;
        let faults = [
            (PictureFault::Dark, self.dark, levels.dark()),
            (PictureFault::Frozen, self.frozen, levels.frozen()),
            (PictureFault::Blurred, self.blurred, levels.blurred()),
        ];
        let lasting =
            |(fault, since, limit): (PictureFault, Option<MonotonicTimestamp>, Duration)| {
                since
                    .filter(|since| taken.since(*since) >= limit)
                    .map(|since| (fault, since))
            };
        Some(faults.into_iter().find_map(lasting))
    }

    fn learn(&mut self, sharpness: f32) {
        self.pictures = self.pictures.saturating_add(1);
        let weight = NEW.max(1.0 / self.pictures as f32);
        self.sharpness += weight * (sharpness - self.sharpness);
        self.best *= FORGETTING;
        if self.pictures >= LEARNING {
            self.best = self.best.max(self.sharpness);
        }
    }

    /// Reads the grid; `None` where the picture is too small.
    fn measure(&mut self, picture: &RgbImage) -> Option<Measures> {
        let (width, height) = picture.dimensions();
        let columns = width.checked_sub(COARSE + 1)?;
        let light = |x, y| {
            let [red, green, blue] = picture.get_pixel(x, y).0;
            // Twice the weight of green, as in most sensors.
            (u16::from(red) + 2 * u16::from(green) + u16::from(blue)) / 4
        };
        self.now.clear();
        let (mut fine, mut coarse) = (0_u64, 0_u64);
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for y in (0..height).step_by(STEP as usize) {
            for x in (0..columns).step_by(STEP as usize) {
                let here = light(x, y);
                fine += u64::from(here.abs_diff(light(x + 1, y)));
                coarse += u64::from(here.abs_diff(light(x + COARSE, y)));
                sum += u64::from(here);
                squares += u64::from(here) * u64::from(here);
                self.now.push(here as u8);
            }
        }
        let points = self.now.len() as f32;
        if self.now.is_empty() {
            return None;
        }
        let brightness = sum as f32 / points;
        Some(Measures {
            brightness,
            contrast: (squares as f32 / points - brightness * brightness)
                .max(0.0)
                .sqrt(),
            sharpness: fine as f32 / (coarse as f32).max(1.0),
        })
    }

    /// The mean difference to the last picture in grey levels; `None` for the first one of its size.
    fn change(&self) -> Option<f32> {
        if self.last.len() != self.now.len() {
            return None;
        }
        let differences =
            std::iter::zip(&self.last, &self.now).map(|(a, b)| u64::from(a.abs_diff(*b)));
        Some(differences.sum::<u64>() as f32 / self.now.len() as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use image::imageops::blur;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const LEVELS: Levels = Levels {
        blind_seconds: 10.0,
        searched_fraction: 0.8,
        detector_milliseconds: 250.0,
        detector_errors: 0,
        frozen_seconds: 20.0,
        dark_seconds: 30.0,
        blurred_seconds: 60.0,
        blurred_fraction: 0.5,
        busy_seconds: 20.0,
        unidentified: 50,
        pending_days: 14.0,
    };

    /// A sea of short waves: its picture at a second.
    fn sea(second: u32) -> RgbImage {
        let mut random = StdRng::seed_from_u64(u64::from(second));
        let mut noise = || random.random_range(-3..=3);
        RgbImage::from_fn(320, 180, |x, y| {
            let wave =
                ((x + 3 * second) as f32 * 0.9).sin() + (y as f32 * 0.7 + second as f32).cos();
            let light = (110.0 + 30.0 * wave) as i32 + noise();
            Rgb([light.clamp(0, 255) as u8; 3])
        })
    }

    /// Plays a picture a second. Returns the seconds in which the fault changes, and what it is then.
    fn play(
        monitor: &mut PictureMonitor,
        seconds: std::ops::Range<u32>,
        picture: impl Fn(u32) -> RgbImage,
    ) -> Vec<(u32, Option<PictureFault>)> {
        let mut changes = vec![];
        let mut before = None;
        for second in seconds {
            let taken = MonotonicTimestamp::from_millis(i64::from(second) * 1000);
            let found = monitor.observe(&picture(second), taken).unwrap();
            let fault = found.map(|(fault, _)| fault);
            if fault != before {
                changes.push((second, fault));
                before = fault;
            }
        }
        changes
    }

    #[test]
    fn a_sea_is_neither_dark_nor_frozen_nor_blurred() {
        let mut monitor = PictureMonitor::new(LEVELS);
        assert_eq!(play(&mut monitor, 0..400, sea), []);
    }

    #[test]
    fn pictures_that_do_not_change_are_frozen() {
        let mut monitor = PictureMonitor::new(LEVELS);
        let changes = play(&mut monitor, 0..100, |second| match second {
            10..60 => sea(10),
            other => sea(other),
        });
        let frozen = Some(PictureFault::Frozen);
        assert_eq!(changes, [(31, frozen), (60, None)]);
    }

    #[test]
    fn a_night_is_dark_and_not_frozen() {
        let mut monitor = PictureMonitor::new(LEVELS);
        let changes = play(&mut monitor, 0..100, |second| match second {
            10..60 => RgbImage::from_pixel(320, 180, Rgb([4; 3])),
            other => sea(other),
        });
        assert_eq!(changes, [(40, Some(PictureFault::Dark)), (60, None)]);
    }

    #[test]
    fn a_lens_that_is_crusted_is_blurred_until_it_is_cleaned() {
        let mut monitor = PictureMonitor::new(LEVELS);
        let changes = play(&mut monitor, 0..800, |second| match second {
            200..500 => blur(&sea(second), 4.0),
            other => sea(other),
        });
        let [(from, Some(PictureFault::Blurred)), (to, None)] = changes[..] else {
            panic!("{changes:?}");
        };
        assert!((260..400).contains(&from), "{from}");
        assert!((500..600).contains(&to), "{to}");
    }

    #[test]
    fn a_frame_a_second_is_measured() {
        let mut monitor = PictureMonitor::new(LEVELS);
        let mut measured = 0;
        for frame in 0..100 {
            let taken = MonotonicTimestamp::from_millis(frame * 40);
            measured += u32::from(monitor.observe(&sea(1), taken).is_some());
        }
        assert_eq!(measured, 4);
        let tiny = RgbImage::new(3, 3);
        let later = MonotonicTimestamp::from_millis(90_000);
        assert_eq!(monitor.observe(&tiny, later), None);
    }
}
