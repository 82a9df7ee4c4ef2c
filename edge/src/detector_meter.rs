//! How long the detector takes, and how often it fails.

use crate::detect::{Detect, DetectError};
use crate::sliding_window::SlidingWindow;
use crate::time::{MonotonicClock, MonotonicTimestamp, SystemMonotonicClock};
use flukewatch_common::detection::Detection;
use flukewatch_inference::engine::status::EngineStatus;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The detector in the health document. Frames that the gate takes for open sea do not reach it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DetectorHealth {
    /// The engine that runs it.
    pub engine: String,
    /// The state of its accelerator, like that of the embedding network.
    pub accelerator: String,
    /// Frames that it searched, since the process started.
    pub frames: u64,
    /// Frames on which it failed, since the process started.
    pub errors: u64,
    /// Frames that it searched in the last minute.
    pub recent_frames: u64,
    /// Frames on which it failed in the last minute.
    pub recent_errors: u64,
    /// How long it took for a frame in the last minute, on average; null where it searched none.
    pub mean_milliseconds: Option<f64>,
    /// The longest that it took for a frame in the last minute.
    pub slowest_milliseconds: Option<f64>,
}

/// What all detectors have done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectorTotals {
    /// Frames that were searched.
    pub frames: u64,
    /// Frames on which a detector failed.
    pub errors: u64,
}

/// Frames of a detector.
#[derive(Clone, Copy, Debug, Default)]
struct Runs {
    frames: u64,
    errors: u64,
    micros: u64,
    slowest_micros: u64,
}

impl AddAssign for Runs {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.errors += other.errors;
        self.micros += other.micros;
        self.slowest_micros = self.slowest_micros.max(other.slowest_micros);
    }
}

#[derive(Default)]
struct Record {
    all: Runs,
    recent: SlidingWindow<Runs>,
}

/// Measures the detectors of all sessions, written by perception and read by the monitor.
pub struct DetectorMeter {
    clock: Arc<dyn MonotonicClock>,
    record: Mutex<Record>,
}

impl DetectorMeter {
    /// A meter that measures time by `clock`.
    pub fn new(clock: Arc<dyn MonotonicClock>) -> Self {
        Self {
            clock,
            record: Mutex::default(),
        }
    }

    fn count(&self, started: MonotonicTimestamp, failed: bool) {
        let now = self.clock.now();
        let micros = u64::try_from(now.micros_since(started)).unwrap_or(0);
        let run = Runs {
            frames: 1,
            errors: u64::from(failed),
            micros,
            slowest_micros: micros,
        };
        let mut record = self.lock();
        record.all += run;
        record.recent.add(now, run);
    }

    /// What all detectors have done.
    pub fn totals(&self) -> DetectorTotals {
        let Runs { frames, errors, .. } = self.lock().all;
        DetectorTotals { frames, errors }
    }

    /// The health of the detector that `engine` runs.
    pub fn health(&self, engine: &EngineStatus) -> DetectorHealth {
        let record = self.lock();
        let recent = record.recent.sum(self.clock.now());
        let milliseconds = |micros: u64| micros as f64 / 1000.0;
        let mean = recent.micros.checked_div(recent.frames);
        let searched = recent.frames > 0;
        DetectorHealth {
            engine: engine.active(),
            accelerator: engine.accelerator().to_string(),
            frames: record.all.frames,
            errors: record.all.errors,
            recent_frames: recent.frames,
            recent_errors: recent.errors,
            mean_milliseconds: mean.map(milliseconds),
            slowest_milliseconds: searched.then(|| milliseconds(recent.slowest_micros)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for DetectorMeter {
    /// By the machine's clock.
    fn default() -> Self {
        Self::new(Arc::new(SystemMonotonicClock))
    }
}

impl fmt::Debug for DetectorMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DetectorMeter")
            .field(&self.lock().all)
            .finish()
    }
}

/// A detector that is measured.
pub struct MeasuredDetector<D> {
    /// The detector.
    pub detector: D,
    /// Measures it.
    pub meter: Arc<DetectorMeter>,
}

impl<D: Detect> Detect for MeasuredDetector<D> {
    fn detect(
        &mut self,
        frame: &RgbImage,
        detections: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        let started = self.meter.clock.now();
        let result = self.detector.detect(frame, detections);
        self.meter.count(started, result.is_err());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;
    use flukewatch_inference::engine::status::Accelerator;
    use std::time::Duration;

    /// Takes as many milliseconds as the frame is wide; fails on a frame of height 2.
    struct Slow(Arc<ManualMonotonicClock>);

    impl Detect for Slow {
        fn detect(&mut self, frame: &RgbImage, _: &mut Vec<Detection>) -> Result<(), DetectError> {
            self.0.advance(Duration::from_millis(frame.width().into()));
            match frame.height() {
                2 => Err(DetectError::new("broken")),
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn latency_and_errors_of_the_last_minute_are_measured() {
        let clock = Arc::new(ManualMonotonicClock::default());
        let meter = Arc::new(DetectorMeter::new(clock.clone()));
        let mut detector = MeasuredDetector {
            detector: Slow(clock.clone()),
            meter: meter.clone(),
        };
        let engine = EngineStatus::new("tract", Accelerator::Disabled);
        let health = meter.health(&engine);
        assert_eq!(
            (health.engine.as_str(), health.accelerator.as_str()),
            ("tract", "disabled")
        );
        assert_eq!(health.mean_milliseconds, None);
        let mut run = |width, height| {
            let frame = RgbImage::new(width, height);
            detector.detect(&frame, &mut vec![]).is_ok()
        };
        assert!(run(40, 1) && run(80, 1) && !run(60, 2));
        let health = meter.health(&engine);
        assert_eq!((health.recent_frames, health.recent_errors), (3, 1));
        assert_eq!(health.mean_milliseconds, Some(60.0));
        assert_eq!(health.slowest_milliseconds, Some(80.0));
        clock.advance(Duration::from_secs(61));
        assert!(run(10, 1));
        let health = meter.health(&engine);
        assert_eq!((health.recent_frames, health.recent_errors), (1, 0));
        assert_eq!(health.mean_milliseconds, Some(10.0));
        assert_eq!((health.frames, health.errors), (4, 1));
    }
}
