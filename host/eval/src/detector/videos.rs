//! Synthetic videos of the sea: how many encounters raise an alarm, and how many alarms are false.

use crate::detector::alarms::AlarmTracker;
use crate::detector::images::keep_wide;
use crate::detector::open::open;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_synth::sea::video::Video;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Least overlap of an alarm with the fluke that it is about.
const MIN_OVERLAP: f64 = 0.3;

/// Detections and flukes of a frame.
#[derive(Clone, Debug)]
pub struct DetectedFrame {
    /// Detections of at least the least width.
    pub detections: Vec<Detection>,
    /// Flukes with the number of their encounter.
    pub flukes: Vec<(usize, PixelBox)>,
    /// Time taken by the detector.
    pub elapsed: Duration,
}

/// Runs the bundle's detector on every frame; `on_frame` is called after each.
///
/// # Errors
/// If the detector cannot be loaded or fails.
pub fn detect(
    video: &Video,
    bundle: &Bundle,
    min_score: f32,
    on_frame: impl Fn() + Sync,
) -> anyhow::Result<Vec<DetectedFrame>> {
    let surfacings: Vec<(String, f64, f64)> = video
        .surfacings()
        .map(|(whale, from, to)| (whale.to_owned(), from, to))
        .collect();
    let (width, height) = video.size();
    let frames: Vec<u32> = (0..video.len()).collect();
    let parts: Vec<Vec<DetectedFrame>> = frames
        .par_chunks(64)
        .map(|frames| {
            let mut detector = open(bundle)?.with_threshold(min_score);
            let mut picture = RgbImage::new(width, height);
            let mut seen = vec![];
            frames
                .iter()
                .map(|&frame| {
                    video.paint(frame, &mut picture, &mut seen);
                    let time = video.time(frame);
                    let mut detections = vec![];
                    let start = Instant::now();
                    detector.detect(&picture, &mut detections)?;
                    let elapsed = start.elapsed();
                    keep_wide(&mut detections, width);
                    let flukes = seen
                        .iter()
                        .filter_map(|s| {
                            let number = surfacings.iter().position(|(whale, from, to)| {
                                *whale == s.whale && (*from..=*to).contains(&time)
                            })?;
                            Some((number, s.region))
                        })
                        .collect();
                    on_frame();
                    Ok(DetectedFrame {
                        detections,
                        flukes,
                        elapsed,
                    })
                })
                .collect::<anyhow::Result<_>>()
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// Counts over a video at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncounterCounts {
    /// Encounters with a fluke in at least one frame.
    pub encounters: usize,
    /// Encounters that raised an alarm.
    pub detected: usize,
    /// Alarms that are not about a fluke.
    pub false_alarms: usize,
}

/// Counts encounters and alarms at a threshold.
pub fn count_encounters(frames: &[DetectedFrame], threshold: f32) -> EncounterCounts {
    let mut alarms = AlarmTracker::default();
    let (mut encounters, mut detected) = (BTreeSet::new(), BTreeSet::new());
    let (mut all, mut about_flukes) = (BTreeSet::new(), BTreeSet::new());
    for frame in frames {
        encounters.extend(frame.flukes.iter().map(|(number, _)| *number));
        for alarm in alarms.add_frame(&frame.detections, threshold) {
            all.insert(alarm.number);
            for (number, region) in &frame.flukes {
                if region.overlap(&alarm.region) >= MIN_OVERLAP {
                    detected.insert(*number);
                    about_flukes.insert(alarm.number);
                }
            }
        }
    }
    EncounterCounts {
        encounters: encounters.len(),
        detected: detected.len(),
        false_alarms: all.difference(&about_flukes).count(),
    }
}

/// The lowest threshold, in hundredths, with at most `max_false_alarms`; `None` if there is none.
pub fn threshold_for(frames: &[DetectedFrame], max_false_alarms: usize) -> Option<f32> {
    (5..=99)
        .map(|hundredths| hundredths as f32 / 100.0)
        .find(|&threshold| count_encounters(frames, threshold).false_alarms <= max_false_alarms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(score: f32, with_fluke: bool) -> DetectedFrame {
        let region = PixelBox {
            x0: 10,
            y0: 10,
            x1: 60,
            y1: 30,
        };
        DetectedFrame {
            detections: vec![Detection { region, score }],
            flukes: if with_fluke {
                vec![(0, region)]
            } else {
                vec![]
            },
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn alarms_about_flukes_are_detections_and_others_are_false() {
        let with = vec![frame(0.6, true); 4];
        assert_eq!(
            count_encounters(&with, 0.5),
            EncounterCounts {
                encounters: 1,
                detected: 1,
                false_alarms: 0
            }
        );
        assert_eq!(count_encounters(&with, 0.7).detected, 0);
        let open_sea = vec![frame(0.6, false); 4];
        assert_eq!(count_encounters(&open_sea, 0.5).false_alarms, 1);
        let threshold = threshold_for(&open_sea, 0).unwrap();
        assert!((threshold - 0.61).abs() < 1e-6, "{threshold}");
        assert_eq!(threshold_for(&open_sea, 1), Some(0.05));
    }
}
