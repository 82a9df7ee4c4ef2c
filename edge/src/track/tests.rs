//! Simulated detections: boxes that jitter, are missing, or are wrong.

use super::*;
use crate::time::MonotonicTimestamp;
use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const SIZE: (f64, f64) = (1920.0, 1080.0);

/// Centre and sides of a fluke at a time in seconds; `None` where it is under water.
type Path = Box<dyn Fn(f64) -> Option<[f64; 4]>>;

/// How a detector errs.
#[derive(Clone, Copy)]
struct Errors {
    /// Of centre and sides, as a fraction of the sides.
    jitter: f64,
    /// Fraction of missed flukes.
    misses: f64,
    /// False detections per frame.
    false_alarms: f64,
}

const USUAL: Errors = Errors {
    jitter: 0.08,
    misses: 0.15,
    false_alarms: 0.0,
};

struct Simulation {
    errors: Errors,
    random: StdRng,
    tracker: Tracker,
    /// Frames per track and fluke; `None` for false alarms.
    seen: BTreeMap<u64, BTreeMap<Option<usize>, u32>>,
}

impl Simulation {
    fn new(errors: Errors, seed: u64) -> Self {
        Self {
            errors,
            random: StdRng::seed_from_u64(seed),
            tracker: Tracker::new(TrackRules::default()),
            seen: BTreeMap::new(),
        }
    }

    fn around(&mut self) -> f64 {
        (0..3).map(|_| self.random.random_range(-1.0..1.0)).sum()
    }

    fn frame(&mut self, time: f64, flukes: &[Path]) {
        let mut found = vec![];
        let mut flukes_of = vec![];
        for (number, fluke) in flukes.iter().enumerate() {
            let Some([x, y, w, h]) = fluke(time) else {
                continue;
            };
            if self.random.random_bool(self.errors.misses) {
                continue;
            }
            let jitter = self.errors.jitter;
            let side = (w * h).sqrt();
            let centre = [
                x + self.around() * jitter * side,
                y + self.around() * jitter * side,
            ];
            let sides = [
                w * (self.around() * jitter).exp(),
                h * (self.around() * jitter).exp(),
            ];
            found.push(detection(centre, sides, self.random.random_range(0.5..0.9)));
            flukes_of.push(Some(number));
        }
        if self.random.random_bool(self.errors.false_alarms) {
            let centre = [
                self.random.random_range(0.0..SIZE.0),
                self.random.random_range(0.0..SIZE.1),
            ];
            found.push(detection(
                centre,
                [120.0, 50.0],
                self.random.random_range(0.4..0.9),
            ));
            flukes_of.push(None);
        }
        let now = MonotonicTimestamp((time * 1e6) as i64);
        self.tracker.update(&found, now);
        for track in self.tracker.tracks().iter().filter(|t| t.confirmed) {
            if let Some(seen) = track.detection {
                let number = found.iter().position(|f| *f == seen).unwrap();
                *self
                    .seen
                    .entry(track.id)
                    .or_default()
                    .entry(flukes_of[number])
                    .or_default() += 1;
            }
        }
    }

    /// Frames at `rate` for `seconds`.
    fn play(mut self, rate: f64, seconds: f64, flukes: &[Path]) -> Self {
        for frame in 0..(rate * seconds) as u32 {
            self.frame(f64::from(frame) / rate, flukes);
        }
        self
    }

    /// Each track's fluke and frames; panics on an identity switch.
    fn tracks(&self) -> Vec<(Option<usize>, u32)> {
        let one = |on: &BTreeMap<Option<usize>, u32>| {
            assert_eq!(on.len(), 1, "a track changed flukes: {:?}", self.seen);
            on.iter()
                .map(|(fluke, frames)| (*fluke, *frames))
                .next()
                .unwrap()
        };
        self.seen.values().map(one).collect()
    }

    fn flukes(&self) -> Vec<Option<usize>> {
        self.tracks().iter().map(|(fluke, _)| *fluke).collect()
    }
}

fn detection([x, y]: [f64; 2], [w, h]: [f64; 2], score: f64) -> Detection {
    let edge = |at: f64| at.round().max(0.0) as u32;
    Detection {
        region: PixelBox {
            x0: edge(x - w / 2.0),
            y0: edge(y - h / 2.0),
            x1: edge(x + w / 2.0).max(1),
            y1: edge(y + h / 2.0).max(1),
        },
        score: score as f32,
    }
}

fn still(x: f64, y: f64) -> Path {
    Box::new(move |_| Some([x, y, 220.0, 90.0]))
}

fn swaying(x: f64, y: f64, amplitude: f64, seconds: f64) -> Path {
    Box::new(move |t| {
        let swing = amplitude * (t * std::f64::consts::TAU / seconds).sin();
        Some([x + swing, y + swing / 2.0, 220.0, 90.0])
    })
}

#[test]
fn one_fluke_is_one_track_at_every_frame_rate() {
    for rate in [3.0, 5.0, 10.0, 15.0, 30.0, 60.0] {
        for seed in 0..20 {
            let played =
                Simulation::new(USUAL, seed).play(rate, 6.0, &[swaying(900.0, 500.0, 60.0, 5.0)]);
            let tracks = played.tracks();
            assert_eq!(
                tracks.len(),
                1,
                "{rate} frames per second, seed {seed}: {tracks:?}"
            );
            let all = rate * 6.0;
            assert!(
                f64::from(tracks[0].1) > 0.6 * all - 5.0,
                "{tracks:?} of {all}"
            );
        }
    }
}

#[test]
fn one_fluke_is_one_track_at_irregular_intervals() {
    for seed in 0..20 {
        let mut simulation = Simulation::new(USUAL, seed);
        let mut time = 0.0;
        while time < 8.0 {
            simulation.frame(time, &[swaying(900.0, 500.0, 60.0, 5.0)]);
            time += simulation.random.random_range(0.01..0.5);
        }
        assert_eq!(simulation.flukes(), [Some(0)], "seed {seed}");
    }
}

#[test]
fn a_swaying_boat_keeps_its_track() {
    // 1.4 sides to and fro every four seconds: 2.2 sides a second at the fastest.
    for seed in 0..20 {
        let played =
            Simulation::new(USUAL, seed).play(10.0, 10.0, &[swaying(900.0, 500.0, 200.0, 4.0)]);
        assert_eq!(played.flukes(), [Some(0)], "seed {seed}");
    }
}

#[test]
fn spray_does_not_end_a_track_and_a_dive_does() {
    for (hidden, tracks) in [(1.7, 1), (2.5, 2)] {
        for seed in 0..20 {
            let fluke: Path = Box::new(move |t| {
                let seen = !(2.0..2.0 + hidden).contains(&t);
                seen.then_some([900.0 + 20.0 * t, 500.0, 220.0, 90.0])
            });
            let exact = Errors {
                misses: 0.0,
                ..USUAL
            };
            let played = Simulation::new(exact, seed).play(10.0, 7.0, &[fluke]);
            assert_eq!(
                played.tracks().len(),
                tracks,
                "hidden for {hidden} s, seed {seed}"
            );
        }
    }
}

#[test]
fn two_whales_side_by_side_stay_apart() {
    for seed in 0..20 {
        // Boxes of 220 pixels, 240 from centre to centre, on a boat that sways.
        let both = [
            swaying(800.0, 500.0, 60.0, 5.0),
            swaying(1040.0, 510.0, 60.0, 5.0),
        ];
        let played = Simulation::new(USUAL, seed).play(10.0, 10.0, &both);
        let mut flukes = played.flukes();
        flukes.sort_unstable();
        assert_eq!(flukes, [Some(0), Some(1)], "seed {seed}");
    }
}

#[test]
fn flukes_that_cross_keep_their_tracks() {
    let mut kept = 0;
    for seed in 0..50 {
        let both: [Path; 2] = [
            Box::new(|t| Some([600.0 + 120.0 * t, 500.0, 200.0, 80.0])),
            // Farther off, and out of sight while the near one is before it.
            Box::new(|t| {
                let apart = 600.0 + 120.0 * t - (1200.0 - 90.0 * t);
                (apart.abs() > 90.0).then_some([1200.0 - 90.0 * t, 470.0, 110.0, 45.0])
            }),
        ];
        let played = Simulation::new(USUAL, seed).play(10.0, 6.0, &both);
        let whole = played.seen.len() == 2 && played.seen.values().all(|on| on.len() == 1);
        kept += u32::from(whole);
    }
    assert!(kept >= 48, "{kept} of 50");
}

#[test]
fn an_approaching_fluke_keeps_its_track() {
    for seed in 0..20 {
        let nearer: Path = Box::new(|t| {
            let scale = (0.6 * t).exp();
            Some([900.0 + 30.0 * t, 500.0, 60.0 * scale, 25.0 * scale])
        });
        let played = Simulation::new(USUAL, seed).play(10.0, 4.0, &[nearer]);
        assert_eq!(played.flukes(), [Some(0)], "seed {seed}");
    }
}

#[test]
fn an_unfolding_fluke_keeps_its_track() {
    let rising: Path = Box::new(|t| {
        let high = (t * 60.0).clamp(6.0, 90.0);
        Some([900.0, 500.0 - high / 2.0, 220.0, high])
    });
    let mut tracker = Simulation::new(USUAL, 1).play(10.0, 3.0, &[rising]);
    assert_eq!(tracker.flukes(), [Some(0)]);
    // A sliver first, then the whole fluke over it.
    tracker = Simulation::new(USUAL, 1);
    for (i, sides) in [
        [30.0, 8.0],
        [30.0, 8.0],
        [30.0, 8.0],
        [300.0, 120.0],
        [300.0, 120.0],
    ]
    .into_iter()
    .enumerate()
    {
        let now = MonotonicTimestamp::from_millis(i as i64 * 100);
        tracker
            .tracker
            .update(&[detection([900.0, 500.0], sides, 0.8)], now);
        assert_eq!(tracker.tracker.tracks().len(), 1, "frame {i}");
        assert!(tracker.tracker.tracks()[0].detection.is_some(), "frame {i}");
    }
}

#[test]
fn false_alarms_are_rarely_confirmed() {
    let sea = Errors {
        false_alarms: 0.2,
        ..USUAL
    };
    // An hour of ten frames a second, with a wrong box in every fifth: 7,200 of them.
    let played = Simulation::new(sea, 3).play(10.0, 3600.0, &[]);
    assert!(played.seen.len() <= 1, "{:?}", played.seen);
}

#[test]
fn a_single_detection_with_a_high_score_is_confirmed() {
    let mut tracker = Tracker::new(TrackRules::default());
    let one = |score| detection([900.0, 500.0], [200.0, 80.0], score);
    tracker.update(&[one(0.94)], MonotonicTimestamp(0));
    assert!(!tracker.tracks()[0].confirmed);
    for frame in 1..5 {
        tracker.update(&[], MonotonicTimestamp(frame * 100_000));
    }
    assert!(tracker.tracks().is_empty(), "seen once in five frames");
    tracker.update(&[one(0.95)], MonotonicTimestamp(600_000));
    assert!(tracker.tracks()[0].confirmed);
    // Continuing needs a lower score than starting.
    tracker.update(&[one(0.26)], MonotonicTimestamp(700_000));
    assert!(tracker.tracks()[0].detection.is_some());
    tracker.update(&[one(0.24)], MonotonicTimestamp(800_000));
    assert!(tracker.tracks()[0].detection.is_none());
}

#[test]
fn a_part_of_a_fluke_is_not_another_fluke() {
    let mut tracker = Tracker::new(TrackRules::default());
    let whole = detection([900.0, 500.0], [300.0, 120.0], 0.9);
    let lobe = detection([830.0, 490.0], [130.0, 80.0], 0.7);
    for frame in 0..10 {
        tracker.update(&[lobe, whole], MonotonicTimestamp(frame * 100_000));
    }
    assert_eq!(tracker.tracks().len(), 1);
    assert_eq!(tracker.tracks()[0].detection, Some(whole));
}

#[test]
fn the_number_of_tracks_is_bounded() {
    let mut simulation = Simulation::new(USUAL, 5);
    let many: Vec<Path> = (0..10)
        .flat_map(|x| {
            (0..10).map(move |y| still(100.0 + 185.0 * f64::from(x), 50.0 + 100.0 * f64::from(y)))
        })
        .collect();
    for frame in 0..30 {
        simulation.frame(f64::from(frame) / 10.0, &many);
        assert!(simulation.tracker.tracks().len() <= MAX_TRACKS);
    }
}

#[test]
fn a_clock_that_jumps_ends_tracks() {
    for jump in [-1_000_000_000, 1_000_000_000] {
        let mut tracker = Tracker::new(TrackRules::default());
        let one = detection([900.0, 500.0], [200.0, 80.0], 1.0);
        tracker.update(&[one], MonotonicTimestamp(5_000_000_000));
        tracker.expire(MonotonicTimestamp(5_000_000_000 + jump));
        assert!(tracker.tracks().is_empty());
        tracker.update(&[one], MonotonicTimestamp(5_000_000_000 + jump));
        assert_eq!(tracker.tracks()[0].id, 1);
    }
}

#[test]
fn a_single_detection_continues_its_track_anywhere() {
    let mut tracker = Tracker::new(TrackRules::default());
    for (frame, side) in [100.0, 2000.0, 30.0].into_iter().enumerate() {
        let found = detection([side, side], [side, side], 1.0);
        tracker.update_single(found, MonotonicTimestamp(frame as i64));
        let tracks = tracker.tracks();
        assert_eq!(
            (tracks.len(), tracks[0].id, tracks[0].detection),
            (1, 0, Some(found))
        );
    }
}

fn any_box() -> impl Strategy<Value = Detection> {
    let edge = || prop_oneof![0u32..3000, Just(0), Just(u32::MAX)];
    (edge(), edge(), edge(), edge(), -1.0f32..2.0).prop_map(|(x0, y0, x1, y1, score)| Detection {
        region: PixelBox { x0, y0, x1, y1 },
        score,
    })
}

proptest! {
    #[test]
    fn each_detection_belongs_to_one_track(
        frames in proptest::collection::vec((proptest::collection::vec(any_box(), 0..6), -2_000_000i64..5_000_000), 1..40),
    ) {
        let mut tracker = Tracker::new(TrackRules::default());
        let mut now = 0i64;
        for (found, passed) in frames {
            now += passed;
            tracker.update(&found, MonotonicTimestamp(now));
            let tracks = tracker.tracks();
            prop_assert!(tracks.len() <= MAX_TRACKS);
            prop_assert!(tracks.windows(2).all(|t| t[0].id < t[1].id));
            for seen in tracks.iter().filter_map(|t| t.detection) {
                prop_assert!(found.contains(&seen));
                let times = found.iter().filter(|f| **f == seen).count();
                prop_assert!(tracks.iter().filter(|t| t.detection == Some(seen)).count() <= times);
            }
        }
    }
}

#[test]
fn many_frames_of_one_instant_are_not_confirmed() {
    let mut tracker = Tracker::new(TrackRules::default());
    let one = detection([900.0, 500.0], [200.0, 80.0], 0.8);
    let mut confirmed = vec![];
    for frame in 0..12 {
        let now = MonotonicTimestamp(frame * 33_333);
        tracker.update(&[one], now);
        confirmed.push(tracker.tracks()[0].confirmed);
    }
    // 0.3 s after the first of them.
    assert_eq!(confirmed.iter().position(|c| *c), Some(9), "{confirmed:?}");
    assert_eq!(tracker.tracks()[0].id, 0);
}
