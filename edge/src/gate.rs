//! Whether a frame is worth the detector: most frames are sea.
//!
//! A picture of 160 x 90 brightnesses is held against what each of its cells usually shows and how far it usually departs from that, so
//! that swell, glitter and a swaying horizon become usual, and what stands out of them in a patch is not. How much must stand out
//! adapts until open sea seldom opens the gate. A fluke that was seen lately holds it open, and every so many frames one is
//! looked at whatever it shows, so that a fluke that the gate overlooks is not lost.

use image::RgbImage;
use std::time::Duration;

/// Cells across and down.
const CELLS: (usize, usize) = (160, 90);
/// Cells of a patch along each side.
const PATCH: usize = 5;
/// Patches begin this many cells apart.
const STEP: usize = 2;
/// How many of its usual departures a cell must be off to count.
const OFF: f32 = 2.5;
/// In grey levels, added to every usual departure: the sensor's noise.
const FLOOR: f32 = 2.0;
/// More than this, in usual departures, no cell counts for: one glint is no fluke.
const MOST: f32 = 6.0;
/// In frames, how long what is usual is learned at first.
const LEARNING: u32 = 12;

/// How a gate works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSettings {
    /// Every so many frames, one is worth the detector whatever it shows; 1 for each.
    pub every: u32,
    /// How long a fluke that was seen holds the gate open.
    pub hold: Duration,
    /// Over how many frames what is usual is averaged.
    pub memory: f32,
    /// The share of frames of open sea that may open the gate by what they show.
    pub openings: f32,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            every: 6,
            hold: Duration::from_secs(3),
            memory: 90.0,
            openings: 0.05,
        }
    }
}

/// What became of a frame at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Worth the detector: what is usual is not known yet.
    Learning,
    /// Worth the detector: something stands out.
    Change,
    /// Worth the detector: a fluke was seen lately.
    Lately,
    /// Worth the detector: its turn has come.
    Turn,
    /// Sea.
    Sea,
}

impl Verdict {
    /// Whether the detector should look.
    pub fn is_worth_it(self) -> bool {
        self != Self::Sea
    }
}

/// One camera's gate.
#[derive(Clone, Debug)]
pub struct Gate {
    settings: GateSettings,
    size: (u32, u32),
    frames: u32,
    /// Frames since the detector looked.
    passed: u32,
    seen: Option<Duration>,
    now: Vec<f32>,
    usual: Vec<f32>,
    departure: Vec<f32>,
    /// How far each cell stands out now, as the sum over the row up to it.
    off: Vec<f32>,
    /// What a patch must show to open the gate.
    threshold: f32,
}

impl Gate {
    /// A gate that has seen nothing.
    pub fn new(settings: GateSettings) -> Self {
        let cells = || vec![0.0; CELLS.0 * CELLS.1];
        Self {
            settings,
            size: (0, 0),
            frames: 0,
            passed: 0,
            seen: None,
            now: cells(),
            usual: cells(),
            departure: cells(),
            off: cells(),
            threshold: 4.0,
        }
    }

    /// Looks at a frame taken at `at`, by any clock that runs on: whether it is worth the detector. Nothing is allocated.
    pub fn look(&mut self, frame: &RgbImage, at: Duration) -> Verdict {
        if frame.width() == 0 || frame.height() == 0 {
            return Verdict::Sea;
        }
        if frame.dimensions() != self.size {
            // Another camera mode: all is new.
            self.size = frame.dimensions();
            self.frames = 0;
        }
        reduce(frame, &mut self.now);
        let peak = self.learn();
        self.frames = self.frames.saturating_add(1);
        self.passed = self.passed.saturating_add(1);
        let lately = self
            .seen
            .is_some_and(|seen| at.saturating_sub(seen) <= self.settings.hold);
        let change = peak > self.threshold;
        if !lately && self.frames > LEARNING {
            // Up by much where it opens, down by little where it does not: at rest, it opens for the share that is allowed.
            let share = self.settings.openings.clamp(0.001, 0.999);
            let step = 0.02 * self.threshold + 0.02;
            self.threshold += step * if change { 1.0 - share } else { -share };
            self.threshold = self.threshold.clamp(1.0, 60.0);
        }
        let verdict = if self.frames <= LEARNING {
            Verdict::Learning
        } else if lately {
            Verdict::Lately
        } else if change {
            Verdict::Change
        } else if self.passed >= self.settings.every {
            Verdict::Turn
        } else {
            Verdict::Sea
        };
        if verdict.is_worth_it() {
            self.passed = 0;
        }
        verdict
    }

    /// The detector saw a fluke in a frame taken at `at`.
    pub fn saw_fluke(&mut self, at: Duration) {
        self.seen = Some(at);
    }

    /// Takes the frame into what is usual; how much the patch that stands out most does so.
    fn learn(&mut self) -> f32 {
        if self.frames == 0 {
            self.usual.copy_from_slice(&self.now);
            self.departure.fill(FLOOR);
            return 0.0;
        }
        let memory = self.settings.memory.max(1.0);
        let rate = 1.0 / memory.min(self.frames as f32 + 1.0);
        let cells = self
            .now
            .iter()
            .zip(&mut self.usual)
            .zip(&mut self.departure);
        for (((&now, usual), departure), off) in cells.zip(&mut self.off) {
            let away = now - *usual;
            let size = away.abs();
            let in_usual = size / (*departure + FLOOR);
            *off = (in_usual - OFF).clamp(0.0, MOST);
            // What stands out becomes usual slowly: a fluke is gone before it does, a mooring is not.
            let rate = if *off > 0.0 { rate * 0.25 } else { rate };
            *usual += rate * away;
            *departure += rate * (1.25 * size - *departure);
        }
        self.strongest_patch()
    }

    fn strongest_patch(&mut self) -> f32 {
        let (width, height) = CELLS;
        for row in self.off.chunks_exact_mut(width) {
            let mut sum = 0.0;
            for off in row {
                sum += *off;
                *off = sum;
            }
        }
        let mut most = 0f32;
        for y in (0..=height - PATCH).step_by(STEP) {
            for x in (0..=width - PATCH).step_by(STEP) {
                let sum: f32 = (y..y + PATCH)
                    .map(|y| {
                        let row = &self.off[y * width..(y + 1) * width];
                        row[x + PATCH - 1] - if x > 0 { row[x - 1] } else { 0.0 }
                    })
                    .sum();
                most = most.max(sum);
            }
        }
        most
    }
}

/// The brightness of each cell, from a few pixels spread over it.
fn reduce(frame: &RgbImage, cells: &mut [f32]) {
    const SPOTS: usize = 3;
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let bytes: &[u8] = frame;
    for (row, line) in cells.chunks_exact_mut(CELLS.0).enumerate() {
        line.fill(0.0);
        for spot in 0..SPOTS {
            let y = ((row * SPOTS + spot) * 2 + 1) * height / (2 * CELLS.1 * SPOTS);
            let pixels = &bytes[y * width * 3..(y + 1) * width * 3];
            for (column, cell) in line.iter_mut().enumerate() {
                for spot in 0..SPOTS {
                    let x = ((column * SPOTS + spot) * 2 + 1) * width / (2 * CELLS.0 * SPOTS);
                    let [r, g, b] = [pixels[x * 3], pixels[x * 3 + 1], pixels[x * 3 + 2]];
                    *cell += f32::from(r) + 2.0 * f32::from(g) + f32::from(b);
                }
            }
        }
        let share = 1.0 / (4 * SPOTS * SPOTS) as f32;
        line.iter_mut().for_each(|c| *c *= share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (320, 180);

    /// Swell that runs down the picture, with grain; `rough` in grey levels.
    fn sea(frame: u32, rough: f32) -> RgbImage {
        RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let t = frame as f32 / 10.0;
            let (fx, fy) = (x as f32, y as f32);
            let swell = (fx * 0.05 + fy * 0.21 - t * 2.0).sin()
                + 0.6 * (fx * 0.13 - fy * 0.09 + t * 3.1).sin();
            let mut h = x.wrapping_mul(0x9e37_79b1)
                ^ y.wrapping_mul(0x85eb_ca77)
                ^ frame.wrapping_mul(0xc2b2_ae35);
            h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
            let grain = (h >> 24) as f32 / 32.0 - 4.0;
            image::Rgb([(95.0 + rough * swell + grain).clamp(0.0, 255.0) as u8; 3])
        })
    }

    /// A dark fluke `width` pixels across.
    fn with_fluke(mut picture: RgbImage, width: u32) -> RgbImage {
        for y in 80..80 + width / 3 {
            for x in 150..150 + width {
                picture.put_pixel(x, y, image::Rgb([28; 3]));
            }
        }
        picture
    }

    fn at(frame: u32) -> Duration {
        Duration::from_millis(u64::from(frame) * 100)
    }

    #[test]
    fn open_sea_seldom_opens_it_but_in_its_turn() {
        for rough in [2.0, 10.0, 25.0] {
            let mut gate = Gate::new(GateSettings::default());
            let (mut by_change, mut longest, mut since) = (0, 0, 0);
            for frame in 0..500 {
                let verdict = gate.look(&sea(frame, rough), at(frame));
                by_change += u32::from(frame >= 150 && verdict == Verdict::Change);
                since = if verdict.is_worth_it() { 0 } else { since + 1 };
                longest = longest.max(since);
            }
            assert!(by_change <= 35, "{by_change} of 350 at roughness {rough}");
            assert!(longest < 6, "{longest} frames unseen");
        }
    }

    #[test]
    fn a_fluke_opens_it_at_once_and_one_that_was_seen_holds_it_open() {
        for (rough, width) in [(2.0, 12), (10.0, 24), (25.0, 60)] {
            let settings = GateSettings {
                every: 1000,
                ..GateSettings::default()
            };
            let mut gate = Gate::new(settings);
            for frame in 0..300 {
                gate.look(&sea(frame, rough), at(frame));
            }
            let opened = (300..303).any(|frame| {
                let picture = with_fluke(sea(frame, rough), width);
                gate.look(&picture, at(frame)) == Verdict::Change
            });
            assert!(opened, "a fluke of {width} pixels at roughness {rough}");
            gate.saw_fluke(at(303));
            for frame in 304..=333 {
                assert_eq!(gate.look(&sea(frame, rough), at(frame)), Verdict::Lately);
            }
            let after = (334..344).filter(|&f| gate.look(&sea(f, rough), at(f)).is_worth_it());
            assert!(after.count() < 5, "it closes again");
        }
    }

    #[test]
    fn a_mooring_becomes_usual() {
        let mut gate = Gate::new(GateSettings::default());
        let mut late = 0;
        for frame in 0..900 {
            let mut picture = sea(frame, 5.0);
            if frame >= 100 {
                picture = with_fluke(picture, 60);
            }
            let verdict = gate.look(&picture, at(frame));
            late += u32::from(frame >= 700 && verdict == Verdict::Change);
        }
        assert!(late < 30, "{late} of 200");
    }

    #[test]
    fn another_size_is_learned_anew_and_no_pixels_are_sea() {
        let mut gate = Gate::new(GateSettings::default());
        for frame in 0..40 {
            gate.look(&sea(frame, 5.0), at(frame));
        }
        let small = RgbImage::from_pixel(7, 5, image::Rgb([9; 3]));
        assert_eq!(gate.look(&small, at(41)), Verdict::Learning);
        assert_eq!(gate.look(&RgbImage::new(0, 0), at(42)), Verdict::Sea);
    }
}
