//! Decides whether a frame goes to the detector: most frames are open sea.
//!
//! Each of 160 x 90 cells is compared with a running mean and mean deviation of its brightness, so that
//! swell, glitter and a swaying horizon become background and a patch that stands out does not. The
//! threshold adapts until open sea rarely opens the gate. A recent detection holds the gate open, and
//! every n-th frame passes whatever it shows, so that a fluke that the gate misses is not lost.

use image::RgbImage;
use std::time::Duration;

/// Cells across and down.
const CELLS: (usize, usize) = (160, 90);
/// Cells of a patch along each side.
const PATCH: usize = 5;
/// Cells between the starts of patches.
const STEP: usize = 2;
/// A cell counts from this many deviations on.
const MIN_DEVIATIONS: f32 = 2.5;
/// Sensor noise in grey levels, added to every deviation.
const NOISE: f32 = 2.0;
/// The largest contribution of a cell, in deviations: one glint is not a fluke.
const MAX_DEVIATIONS: f32 = 6.0;
/// Frames to learn the background first.
const LEARNING: u32 = 12;

/// The settings of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateSettings {
    /// Every n-th frame passes whatever it shows; 1 for all.
    pub every_n_frames: u32,
    /// How long a detection holds the gate open.
    pub hold: Duration,
    /// The time constant of the background, in frames.
    pub memory: f32,
    /// The target fraction of open-sea frames that pass as changed.
    pub target_rate: f32,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            every_n_frames: 6,
            hold: Duration::from_secs(3),
            memory: 90.0,
            target_rate: 0.05,
        }
    }
}

/// The gate's decision on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateDecision {
    /// Passes: the background is not known yet.
    Learning,
    /// Passes: something stands out.
    Changed,
    /// Passes: a fluke was detected recently.
    Held,
    /// Passes: the n-th frame.
    Periodic,
    /// Open sea; does not pass.
    Closed,
}

impl GateDecision {
    /// Whether the frame goes to the detector.
    pub fn opens(self) -> bool {
        self != Self::Closed
    }
}

/// The gate of one camera, with its background model.
#[derive(Clone, Debug)]
pub struct Gate {
    settings: GateSettings,
    size: (u32, u32),
    frames: u32,
    /// Frames since the last one that passed.
    skipped: u32,
    last_fluke: Option<Duration>,
    now: Vec<f32>,
    mean: Vec<f32>,
    deviation: Vec<f32>,
    /// How far each cell stands out, as prefix sums of its row.
    excess: Vec<f32>,
    /// The excess of a patch that opens the gate.
    threshold: f32,
}

impl Gate {
    /// A gate without background.
    pub fn new(settings: GateSettings) -> Self {
        let cells = || vec![0.0; CELLS.0 * CELLS.1];
        Self {
            settings,
            size: (0, 0),
            frames: 0,
            skipped: 0,
            last_fluke: None,
            now: cells(),
            mean: cells(),
            deviation: cells(),
            excess: cells(),
            threshold: 4.0,
        }
    }

    /// Decides on a frame taken at `at` of any monotonic clock. Allocates nothing.
    pub fn check(&mut self, frame: &RgbImage, at: Duration) -> GateDecision {
        if frame.width() == 0 || frame.height() == 0 {
            return GateDecision::Closed;
        }
        if frame.dimensions() != self.size {
            // Another camera mode: learn again.
            self.size = frame.dimensions();
            self.frames = 0;
        }
        reduce(frame, &mut self.now);
        let peak = self.learn();
        self.frames = self.frames.saturating_add(1);
        self.skipped = self.skipped.saturating_add(1);
        let held = self
            .last_fluke
            .is_some_and(|last| at.saturating_sub(last) <= self.settings.hold);
        let changed = peak > self.threshold;
        if !held && self.frames > LEARNING {
            // In equilibrium, the gate opens at the target rate.
            let rate = self.settings.target_rate.clamp(0.001, 0.999);
            let step = 0.02 * self.threshold + 0.02;
            self.threshold += step * if changed { 1.0 - rate } else { -rate };
            self.threshold = self.threshold.clamp(1.0, 60.0);
        }
        let decision = if self.frames <= LEARNING {
            GateDecision::Learning
        } else if held {
            GateDecision::Held
        } else if changed {
            GateDecision::Changed
        } else if self.skipped >= self.settings.every_n_frames {
            GateDecision::Periodic
        } else {
            GateDecision::Closed
        };
        if decision.opens() {
            self.skipped = 0;
        }
        decision
    }

    /// Reports a detection in a frame taken at `at`.
    pub fn hold(&mut self, at: Duration) {
        self.last_fluke = Some(at);
    }

    /// Updates the background; returns the excess of the patch that stands out most.
    fn learn(&mut self) -> f32 {
        if self.frames == 0 {
            self.mean.copy_from_slice(&self.now);
            self.deviation.fill(NOISE);
            return 0.0;
        }
        let memory = self.settings.memory.max(1.0);
        let rate = 1.0 / memory.min(self.frames as f32 + 1.0);
        let cells = self.now.iter().zip(&mut self.mean).zip(&mut self.deviation);
        for (((&now, mean), deviation), excess) in cells.zip(&mut self.excess) {
            let difference = now - *mean;
            let deviations = difference.abs() / (*deviation + NOISE);
            *excess = (deviations - MIN_DEVIATIONS).clamp(0.0, MAX_DEVIATIONS);
            // What stands out becomes background slowly: after a fluke has gone, but not for a mooring.
            let rate = if *excess > 0.0 { rate * 0.25 } else { rate };
            *mean += rate * difference;
            *deviation += rate * (1.25 * difference.abs() - *deviation);
        }
        self.strongest_patch()
    }

    fn strongest_patch(&mut self) -> f32 {
        let (width, height) = CELLS;
        for row in self.excess.chunks_exact_mut(width) {
            let mut sum = 0.0;
            for excess in row {
                sum += *excess;
                *excess = sum;
            }
        }
        let mut most = 0f32;
        for y in (0..=height - PATCH).step_by(STEP) {
            for x in (0..=width - PATCH).step_by(STEP) {
                let sum: f32 = (y..y + PATCH)
                    .map(|y| {
                        let row = &self.excess[y * width..(y + 1) * width];
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
        let weight = 1.0 / (4 * SPOTS * SPOTS) as f32;
        line.iter_mut().for_each(|c| *c *= weight);
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
    fn open_sea_rarely_opens_the_gate_except_periodically() {
        for rough in [2.0, 10.0, 25.0] {
            let mut gate = Gate::new(GateSettings::default());
            let (mut by_change, mut longest, mut since) = (0, 0, 0);
            for frame in 0..500 {
                let decision = gate.check(&sea(frame, rough), at(frame));
                by_change += u32::from(frame >= 150 && decision == GateDecision::Changed);
                since = if decision.opens() { 0 } else { since + 1 };
                longest = longest.max(since);
            }
            assert!(by_change <= 35, "{by_change} of 350 at roughness {rough}");
            assert!(longest < 6, "{longest} frames unseen");
        }
    }

    #[test]
    fn a_fluke_opens_the_gate_and_a_detection_holds_it_open() {
        for (rough, width) in [(2.0, 12), (10.0, 24), (25.0, 60)] {
            let settings = GateSettings {
                every_n_frames: 1000,
                ..GateSettings::default()
            };
            let mut gate = Gate::new(settings);
            for frame in 0..300 {
                gate.check(&sea(frame, rough), at(frame));
            }
            let opened = (300..303).any(|frame| {
                let picture = with_fluke(sea(frame, rough), width);
                gate.check(&picture, at(frame)) == GateDecision::Changed
            });
            assert!(opened, "a fluke of {width} pixels at roughness {rough}");
            gate.hold(at(303));
            for frame in 304..=333 {
                assert_eq!(
                    gate.check(&sea(frame, rough), at(frame)),
                    GateDecision::Held
                );
            }
            let after = (334..344).filter(|&f| gate.check(&sea(f, rough), at(f)).opens());
            assert!(after.count() < 5, "it closes again");
        }
    }

    #[test]
    fn a_mooring_becomes_background() {
        let mut gate = Gate::new(GateSettings::default());
        let mut late = 0;
        for frame in 0..900 {
            let mut picture = sea(frame, 5.0);
            if frame >= 100 {
                picture = with_fluke(picture, 60);
            }
            let decision = gate.check(&picture, at(frame));
            late += u32::from(frame >= 700 && decision == GateDecision::Changed);
        }
        assert!(late < 30, "{late} of 200");
    }

    #[test]
    fn another_size_is_learned_again_and_an_empty_frame_is_skipped() {
        let mut gate = Gate::new(GateSettings::default());
        for frame in 0..40 {
            gate.check(&sea(frame, 5.0), at(frame));
        }
        let small = RgbImage::from_pixel(7, 5, image::Rgb([9; 3]));
        assert_eq!(gate.check(&small, at(41)), GateDecision::Learning);
        assert_eq!(
            gate.check(&RgbImage::new(0, 0), at(42)),
            GateDecision::Closed
        );
    }
}
