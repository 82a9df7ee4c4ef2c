//! Films of the sea under a detector: how many encounters become alarms, and how many alarms are none.

use super::alarms::Alarms;
use crate::seascape::film::Film;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_common::detector::NARROWEST;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A box that overlaps a fluke by so much is about it.
const ABOUT: f64 = 0.3;

/// A frame of a film as the detector saw it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Boxes.
    pub found: Vec<Detection>,
    /// Flukes, each with the number of the surfacing that it belongs to.
    pub truth: Vec<(usize, PixelBox)>,
    /// How long the detector took.
    pub took: Duration,
}

/// Shows every frame of a film to the bundle's detector, `least` the lowest score that is told.
///
/// # Errors
/// When the detector cannot be loaded or fails.
pub fn watch(
    film: &Film,
    bundle: &Bundle,
    least: f32,
    done: impl Fn() + Sync,
) -> anyhow::Result<Vec<Watched>> {
    let surfacings: Vec<(String, f64, f64)> = film
        .surfacings()
        .map(|(whale, from, to)| (whale.to_owned(), from, to))
        .collect();
    let (width, height) = film.size();
    let frames: Vec<u32> = (0..film.len()).collect();
    let parts: Vec<Vec<Watched>> = frames
        .par_chunks(64)
        .map(|frames| {
            let mut detector = super::command::open(bundle)?.with_threshold(least);
            let mut picture = RgbImage::new(width, height);
            let mut seen = vec![];
            frames
                .iter()
                .map(|&frame| {
                    film.paint(frame, &mut picture, &mut seen);
                    let time = film.time(frame);
                    let mut found = vec![];
                    let began = Instant::now();
                    detector.detect(&picture, &mut found)?;
                    let took = began.elapsed();
                    let narrowest = NARROWEST as f32 * width as f32;
                    found.retain(|d| d.region.width() as f32 >= narrowest);
                    let truth = seen
                        .iter()
                        .filter_map(|s| {
                            let number = surfacings.iter().position(|(whale, from, to)| {
                                *whale == s.whale && (*from..=*to).contains(&time)
                            })?;
                            Some((number, s.region))
                        })
                        .collect();
                    done();
                    Ok(Watched { found, truth, took })
                })
                .collect::<anyhow::Result<_>>()
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// What became of a film at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Times that a fluke was shown in a frame at least.
    pub shown: usize,
    /// Those that became an alarm while they lasted.
    pub found: usize,
    /// Alarms about no fluke.
    pub false_alarms: usize,
}

/// Counts alarms at a threshold.
pub fn count(frames: &[Watched], threshold: f32) -> Outcome {
    let mut alarms = Alarms::default();
    let (mut shown, mut found) = (BTreeSet::new(), BTreeSet::new());
    let (mut all, mut right) = (BTreeSet::new(), BTreeSet::new());
    for frame in frames {
        shown.extend(frame.truth.iter().map(|(number, _)| *number));
        for alarm in alarms.frame(&frame.found, threshold) {
            all.insert(alarm.number);
            for (number, region) in &frame.truth {
                if region.overlap(&alarm.region) >= ABOUT {
                    found.insert(*number);
                    right.insert(alarm.number);
                }
            }
        }
    }
    Outcome {
        shown: shown.len(),
        found: found.len(),
        false_alarms: all.difference(&right).count(),
    }
}

/// The lowest threshold, in hundredths, at which no more than `most` alarms are told on open sea; `None` where even the highest
/// tells more.
pub fn threshold_for(frames: &[Watched], most: usize) -> Option<f32> {
    (5..=99)
        .map(|hundredths| hundredths as f32 / 100.0)
        .find(|&threshold| count(frames, threshold).false_alarms <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(score: f32, there: bool) -> Watched {
        let region = PixelBox {
            x0: 10,
            y0: 10,
            x1: 60,
            y1: 30,
        };
        Watched {
            found: vec![Detection { region, score }],
            truth: if there { vec![(0, region)] } else { vec![] },
            took: Duration::ZERO,
        }
    }

    #[test]
    fn alarms_about_flukes_find_them_and_others_are_false() {
        let with = vec![frame(0.6, true); 4];
        assert_eq!(
            count(&with, 0.5),
            Outcome {
                shown: 1,
                found: 1,
                false_alarms: 0
            }
        );
        assert_eq!(count(&with, 0.7).found, 0);
        let open = vec![frame(0.6, false); 4];
        assert_eq!(count(&open, 0.5).false_alarms, 1);
        let threshold = threshold_for(&open, 0).unwrap();
        assert!((threshold - 0.61).abs() < 1e-6, "{threshold}");
        assert_eq!(threshold_for(&open, 1), Some(0.05));
    }
}
