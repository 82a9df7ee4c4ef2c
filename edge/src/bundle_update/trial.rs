//! The first minutes of a received bundle, or of settings from shore.

use crate::detector_meter::DetectorMeter;
use crate::health::Counters;
use crate::stage::Stages;
use std::time::{Duration, Instant};

/// So many restarts of a stage are too many.
const MAX_RESTARTS: u64 = 3;
/// A detector that fails on most of its frames is judged after so many failures.
const MIN_DETECTOR_ERRORS: u64 = 10;
/// So many encounters that cannot be identified are too many, where none can.
const MAX_FAILED_ENCOUNTERS: u64 = 2;

/// What is observed.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Counts frames and encounters.
    pub counters: &'a Counters,
    /// Count their restarts.
    pub stages: &'a Stages,
    /// Counts the detector's failures.
    pub detector: &'a DetectorMeter,
}

/// Observes a boat with a bundle that was received, or with settings from shore.
#[derive(Clone, Debug)]
pub struct UpdateTrial {
    since: Instant,
    duration: Duration,
    before: Measures,
}

/// How a trial stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialResult {
    /// It is not over.
    Running,
    /// What is on trial works.
    Passed,
    /// It does not work, for this reason.
    Failed(String),
}

/// What is measured, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Measures {
    frames: u64,
    restarts: u64,
    last_failure: Option<String>,
    detector_frames: u64,
    detector_errors: u64,
    identified: u64,
    failed_encounters: u64,
}

impl Measures {
    fn of(observed: Observed<'_>) -> Self {
        let Observed {
            counters,
            stages,
            detector,
        } = observed;
        let stages = [&stages.perception, &stages.identification].map(|stage| stage.health());
        let detector = detector.totals();
        Self {
            frames: counters.usable_frames(),
            restarts: stages.iter().map(|stage| stage.restarts).sum(),
            last_failure: stages.into_iter().find_map(|stage| stage.last_failure),
            detector_frames: detector.frames,
            detector_errors: detector.errors,
            identified: counters.identified_encounters(),
            failed_encounters: counters.failed_encounters(),
        }
    }

    /// What has been measured since.
    fn since(self, before: &Self) -> Self {
        Self {
            frames: self.frames - before.frames,
            restarts: self.restarts - before.restarts,
            last_failure: self.last_failure,
            detector_frames: self.detector_frames - before.detector_frames,
            detector_errors: self.detector_errors - before.detector_errors,
            identified: self.identified - before.identified,
            failed_encounters: self.failed_encounters - before.failed_encounters,
        }
    }

    /// Why what is on trial does not work; `None` where nothing speaks against it.
    fn fault(&self) -> Option<String> {
        if self.restarts >= MAX_RESTARTS {
            let failure = self.last_failure.as_deref().unwrap_or("unknown");
            return Some(format!(
                "a stage restarted {} times: {failure}",
                self.restarts
            ));
        }
        if self.detector_errors >= MIN_DETECTOR_ERRORS
            && self.detector_errors * 2 > self.detector_frames
        {
            let Self {
                detector_errors,
                detector_frames,
                ..
            } = self;
            return Some(format!(
                "the detector failed on {detector_errors} of {detector_frames} frames"
            ));
        }
        if self.failed_encounters >= MAX_FAILED_ENCOUNTERS && self.identified == 0 {
            let failed = self.failed_encounters;
            return Some(format!("none of {failed} encounters could be identified"));
        }
        None
    }
}

impl UpdateTrial {
    /// A trial that begins now and takes `duration`.
    pub fn begin(observed: Observed<'_>, duration: Duration) -> Self {
        Self {
            since: Instant::now(),
            duration,
            before: Measures::of(observed),
        }
    }

    /// How it stands. Without a single frame it is not over: a camera may be unplugged in harbour.
    pub fn result(&self, observed: Observed<'_>) -> TrialResult {
        self.judge(Measures::of(observed), self.since.elapsed())
    }

    fn judge(&self, now: Measures, elapsed: Duration) -> TrialResult {
        let measured = now.since(&self.before);
        match measured.fault() {
            Some(reason) => TrialResult::Failed(reason),
            None if elapsed >= self.duration && measured.frames > 0 => TrialResult::Passed,
            None => TrialResult::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn trial() -> UpdateTrial {
        UpdateTrial {
            since: Instant::now(),
            duration: MINUTE,
            before: Measures {
                frames: 1000,
                restarts: 5,
                detector_frames: 500,
                detector_errors: 400,
                identified: 3,
                failed_encounters: 7,
                last_failure: None,
            },
        }
    }

    /// The result where this happened since the begin.
    fn after(elapsed: Duration, change: impl FnOnce(&mut Measures)) -> TrialResult {
        let trial = trial();
        let mut now = trial.before.clone();
        change(&mut now);
        trial.judge(now, elapsed)
    }

    #[test]
    fn a_bundle_that_searches_frames_for_the_whole_time_passes() {
        let searching = |now: &mut Measures| now.frames += 1;
        assert_eq!(after(MINUTE, searching), TrialResult::Passed);
        let early = MINUTE - Duration::from_secs(1);
        assert_eq!(after(early, searching), TrialResult::Running);
        assert_eq!(after(100 * MINUTE, |_| {}), TrialResult::Running);
    }

    #[test]
    fn restarts_of_a_stage_fail_it() {
        let restarted = |times| {
            after(MINUTE, |now| {
                now.frames += 1;
                now.restarts += times;
                now.last_failure = Some("index out of bounds".into());
            })
        };
        assert_eq!(restarted(2), TrialResult::Passed);
        let reason = "a stage restarted 3 times: index out of bounds".into();
        assert_eq!(restarted(3), TrialResult::Failed(reason));
    }

    #[test]
    fn a_detector_that_fails_on_most_frames_fails_it() {
        let detected = |frames, errors| {
            after(Duration::ZERO, |now| {
                now.detector_frames += frames;
                now.detector_errors += errors;
            })
        };
        assert_eq!(detected(9, 9), TrialResult::Running);
        assert_eq!(detected(20, 10), TrialResult::Running);
        let reason = "the detector failed on 10 of 19 frames".into();
        assert_eq!(detected(19, 10), TrialResult::Failed(reason));
    }

    #[test]
    fn encounters_of_which_none_is_identified_fail_it() {
        let encounters = |identified, failed| {
            after(Duration::ZERO, |now| {
                now.identified += identified;
                now.failed_encounters += failed;
            })
        };
        assert_eq!(encounters(0, 1), TrialResult::Running);
        assert_eq!(encounters(1, 5), TrialResult::Running);
        let reason = "none of 2 encounters could be identified".into();
        assert_eq!(encounters(0, 2), TrialResult::Failed(reason));
    }
}
