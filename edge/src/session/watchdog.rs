//! Decides whether the watchdog is pinged, so that systemd restarts the program where a restart
//! helps.
//!
//! A restart helps a program that hangs. It does not help an unplugged camera, which is reopened
//! anyway, nor a full disk; and it loses the sightings that are only in memory. So the watchdog is
//! pinged unless
//!
//! - perception has made no step for [`PERCEPTION_TIMEOUT`], though it has a frame to work on
//!   or live cameras to read from;
//! - no live camera's thread has made a step for [`CAMERA_TIMEOUT`]: a driver that does not return.
//!   A disconnected camera that is being reopened makes steps, and one of several working cameras
//!   is enough;
//! - the outbox has failed to commit for [`OUTBOX_TIMEOUT`], for another reason than a full disk,
//!   while no sighting is in memory. A commit that never returns blocks the thread that pings.

use crate::time::{MonotonicClock, MonotonicTimestamp};
use std::sync::Arc;
use std::time::Duration;

/// How long perception may take for one step: many times what identifying an encounter takes on
/// a slow machine.
const PERCEPTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the threads of all live cameras may make no step. The configuration allows a camera to
/// wait up to 60 s for a frame.
const CAMERA_TIMEOUT: Duration = Duration::from_secs(90);
/// How long commits may fail.
const OUTBOX_TIMEOUT: Duration = Duration::from_secs(120);

/// The result of the last write probe of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteProbe {
    Committed,
    DiskFull,
    Failed,
}

/// The heartbeat of perception at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerceptionSteps {
    pub(super) steps: u64,
    /// Waits for its source, which may be a slow replay.
    pub(super) waiting: bool,
    /// The source has ended.
    pub(super) finished: bool,
}

/// The inputs of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vitals {
    pub(super) perception: PerceptionSteps,
    /// The step counter of each live camera that has not ended.
    pub(super) cameras: Vec<u64>,
    pub(super) probe: WriteProbe,
    /// Sightings in memory, which a restart would lose.
    pub(super) in_memory: u64,
}

/// Whether the watchdog is pinged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    Healthy,
    Unhealthy(String),
}

/// A counter, and since when it has not changed.
#[derive(Clone, Copy, Debug)]
struct Unchanged {
    steps: u64,
    since: MonotonicTimestamp,
}

impl Unchanged {
    fn update(&mut self, steps: u64, now: MonotonicTimestamp) {
        if self.steps != steps {
            *self = Self { steps, since: now };
        }
    }
}

/// Follows the vitals over time.
pub(super) struct Watchdog {
    clock: Arc<dyn MonotonicClock>,
    perception: Unchanged,
    cameras: Vec<Unchanged>,
    failing_since: Option<MonotonicTimestamp>,
}

impl Watchdog {
    pub(super) fn new(clock: Arc<dyn MonotonicClock>) -> Self {
        let since = clock.now();
        Self {
            clock,
            perception: Unchanged { steps: 0, since },
            cameras: vec![],
            failing_since: None,
        }
    }

    /// Decides from `vitals` and the earlier ones.
    pub(super) fn evaluate(&mut self, vitals: &Vitals) -> Liveness {
        let now = self.clock.now();
        self.perception.update(vitals.perception.steps, now);
        let fresh = Unchanged {
            steps: 0,
            since: now,
        };
        self.cameras.resize(vitals.cameras.len(), fresh);
        for (camera, &steps) in self.cameras.iter_mut().zip(&vitals.cameras) {
            camera.update(steps, now);
        }
        let stuck = now.since(self.perception.since);
        let idle =
            vitals.perception.finished || vitals.perception.waiting && vitals.cameras.is_empty();
        if !idle && stuck > PERCEPTION_TIMEOUT {
            return Liveness::Unhealthy(format!("perception blocked for {} s", stuck.as_secs()));
        }
        let unresponsive = self.cameras.iter().map(|c| now.since(c.since)).min();
        if let Some(time) = unresponsive.filter(|time| *time > CAMERA_TIMEOUT) {
            return Liveness::Unhealthy(format!(
                "no camera driver has responded for {} s",
                time.as_secs()
            ));
        }
        if vitals.probe != WriteProbe::Failed {
            self.failing_since = None;
            return Liveness::Healthy;
        }
        let failing = now.since(*self.failing_since.get_or_insert(now));
        if failing > OUTBOX_TIMEOUT && vitals.in_memory == 0 {
            return Liveness::Unhealthy(format!(
                "outbox commits have failed for {} s",
                failing.as_secs()
            ));
        }
        Liveness::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;

    struct Dog {
        clock: Arc<ManualMonotonicClock>,
        watchdog: Watchdog,
        vitals: Vitals,
    }

    fn dog(cameras: usize) -> Dog {
        let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp(5)));
        Dog {
            watchdog: Watchdog::new(clock.clone()),
            clock,
            vitals: Vitals {
                perception: PerceptionSteps {
                    steps: 1,
                    waiting: true,
                    finished: false,
                },
                cameras: vec![0; cameras],
                probe: WriteProbe::Committed,
                in_memory: 0,
            },
        }
    }

    impl Dog {
        /// Ten minutes pass, with a decision each second; `live` advances the vitals. The second of
        /// the first unhealthy decision, and why.
        fn after(&mut self, live: impl Fn(&mut Vitals)) -> Option<(u64, String)> {
            for second in 1..=600 {
                self.clock.advance(Duration::from_secs(1));
                live(&mut self.vitals);
                if let Liveness::Unhealthy(why) = self.watchdog.evaluate(&self.vitals) {
                    return Some((second, why));
                }
            }
            None
        }
    }

    fn steps(vitals: &mut Vitals) {
        vitals.perception.steps += 7;
    }

    #[test]
    fn a_working_boat_is_healthy() {
        assert_eq!(
            dog(2).after(|s| {
                steps(s);
                s.cameras.iter_mut().for_each(|c| *c += 3);
            }),
            None
        );
    }

    #[test]
    fn blocked_perception_is_unhealthy() {
        let hung = dog(1).after(|s| s.cameras[0] += 1);
        let (second, why) = hung.unwrap();
        assert!((60..=63).contains(&second), "{second}");
        assert!(why.starts_with("perception blocked for 6"), "{why}");
    }

    #[test]
    fn perception_blocked_on_a_replay_s_frame_is_unhealthy_but_one_that_waits_for_it_is_not() {
        assert_eq!(dog(0).after(|_| {}), None);
        assert!(dog(0).after(|s| s.perception.waiting = false).is_some());
        let finished =
            |s: &mut Vitals| (s.perception.waiting, s.perception.finished) = (false, true);
        assert_eq!(dog(0).after(finished), None);
    }

    #[test]
    fn a_camera_that_reconnects_is_healthy() {
        // Its thread makes steps, though no frame comes.
        assert_eq!(
            dog(1).after(|s| {
                steps(s);
                s.cameras[0] += 1;
            }),
            None
        );
    }

    #[test]
    fn drivers_that_never_return_are_unhealthy_unless_another_camera_works() {
        let (second, why) = dog(2).after(steps).unwrap();
        assert!((90..=93).contains(&second), "{second}");
        assert!(why.starts_with("no camera driver has responded"), "{why}");
        assert_eq!(
            dog(2).after(|s| {
                steps(s);
                s.cameras[1] += 1;
            }),
            None
        );
    }

    #[test]
    fn failing_commits_are_unhealthy_but_a_full_disk_is_not() {
        let failing = |s: &mut Vitals| {
            steps(s);
            s.probe = WriteProbe::Failed;
        };
        let (second, why) = dog(0).after(failing).unwrap();
        assert!((120..=123).contains(&second), "{second}");
        assert!(why.starts_with("outbox commits have failed"), "{why}");
        assert_eq!(
            dog(0).after(|s| {
                steps(s);
                s.probe = WriteProbe::DiskFull;
            }),
            None
        );
        // A restart would lose the sightings in memory.
        assert_eq!(
            dog(0).after(|s| {
                failing(s);
                s.in_memory = 1;
            }),
            None
        );
    }

    #[test]
    fn an_outbox_that_fails_now_and_then_is_healthy() {
        let mut dog = dog(0);
        let now_and_then = |s: &mut Vitals| {
            steps(s);
            s.probe = if (s.perception.steps - 1).is_multiple_of(70) {
                WriteProbe::Committed
            } else {
                WriteProbe::Failed
            };
        };
        assert_eq!(dog.after(now_and_then), None);
    }
}
