//! Whether the boat still works as it should, so that systemd may restart it where it does not.
//!
//! A restart helps a program that hangs. It does not help a camera that is unplugged, which is looked for again anyway, nor a full
//! disk; and it loses the sightings that wait in memory. So the watchdog is fed unless
//!
//! - the watch has not moved on for [`WATCH_PATIENCE`], though it has a frame to work on or live cameras to listen to;
//! - no live camera's thread has given a sign of life for [`CAMERA_PATIENCE`]: a driver that does not return. One that is lost and
//!   looked for lives, and so does a boat of which one camera of several works;
//! - the outbox has failed to commit for [`OUTBOX_PATIENCE`], for another reason than a full disk, while nothing waits in memory. A
//!   commit that never returns stops the thread that feeds, and so the feeding.

use crate::time::{Moment, SteadyClock};
use std::sync::Arc;
use std::time::Duration;

/// How long the watch may take for one step: many times what identifying an encounter takes on a slow machine.
pub const WATCH_PATIENCE: Duration = Duration::from_secs(60);
/// How long the threads of all live cameras may be silent. A camera waits for a frame for 60 s at most, as the configuration allows.
pub const CAMERA_PATIENCE: Duration = Duration::from_secs(90);
/// How long the outbox may fail.
pub const OUTBOX_PATIENCE: Duration = Duration::from_secs(120);

/// What a try to commit brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is on the disk.
    Committed,
    /// The disk is full.
    Full,
    /// It failed for another reason.
    Failed,
}

/// How the watch is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchSign {
    /// Counts on while it lives.
    pub steps: u64,
    /// Whether it waits for its source, which may be a slow replay.
    pub waiting: bool,
    /// Whether its source is over.
    pub resting: bool,
}

/// All signs of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The watch.
    pub watch: WatchSign,
    /// For each live camera that has not ended, a number that counts on while its thread lives.
    pub cameras: Vec<u64>,
    /// The last try to commit.
    pub proof: Proof,
    /// Sightings that wait in memory, and that a restart would lose.
    pub in_memory: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Feed.
    Well,
    /// Do not, for this reason.
    Ill(String),
}

/// A number and since when it has been the same.
#[derive(Clone, Copy, Debug)]
struct Seen {
    number: u64,
    since: Moment,
}

/// Looks at the signs over time.
pub struct Watchdog {
    clock: Arc<dyn SteadyClock>,
    watch: Seen,
    cameras: Vec<Seen>,
    failing: Option<Moment>,
}

impl Watchdog {
    /// Begins to look.
    pub fn new(clock: Arc<dyn SteadyClock>) -> Self {
        let since = clock.now();
        Self {
            clock,
            watch: Seen { number: 0, since },
            cameras: vec![],
            failing: None,
        }
    }

    /// Judges `signs`.
    pub fn judge(&mut self, signs: &Signs) -> Verdict {
        let now = self.clock.now();
        seen(&mut self.watch, signs.watch.steps, now);
        let fresh = Seen {
            number: 0,
            since: now,
        };
        self.cameras.resize(signs.cameras.len(), fresh);
        for (camera, &number) in self.cameras.iter_mut().zip(&signs.cameras) {
            seen(camera, number, now);
        }
        let stuck = now.since(self.watch.since);
        let idle = signs.watch.resting || signs.watch.waiting && signs.cameras.is_empty();
        if !idle && stuck > WATCH_PATIENCE {
            return Verdict::Ill(format!(
                "the watch has not moved on for {} s",
                stuck.as_secs()
            ));
        }
        let silent = self.cameras.iter().map(|c| now.since(c.since)).min();
        if let Some(silent) = silent.filter(|silent| *silent > CAMERA_PATIENCE) {
            return Verdict::Ill(format!(
                "no camera's driver has answered for {} s",
                silent.as_secs()
            ));
        }
        if signs.proof != Proof::Failed {
            self.failing = None;
            return Verdict::Well;
        }
        let failing = now.since(*self.failing.get_or_insert(now));
        if failing > OUTBOX_PATIENCE && signs.in_memory == 0 {
            return Verdict::Ill(format!(
                "the outbox has failed to commit for {} s",
                failing.as_secs()
            ));
        }
        Verdict::Well
    }
}

fn seen(seen: &mut Seen, number: u64, now: Moment) {
    if seen.number != number {
        *seen = Seen { number, since: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualSteadyClock;

    struct Dog {
        clock: Arc<ManualSteadyClock>,
        watchdog: Watchdog,
        signs: Signs,
    }

    fn dog(cameras: usize) -> Dog {
        let clock = Arc::new(ManualSteadyClock::new(Moment(5)));
        Dog {
            watchdog: Watchdog::new(clock.clone()),
            clock,
            signs: Signs {
                watch: WatchSign {
                    steps: 1,
                    waiting: true,
                    resting: false,
                },
                cameras: vec![0; cameras],
                proof: Proof::Committed,
                in_memory: 0,
            },
        }
    }

    impl Dog {
        /// Ten minutes pass, with a look a second; `live` moves the signs on. Says when feeding ended, in seconds, and why.
        fn after(&mut self, live: impl Fn(&mut Signs)) -> Option<(u64, String)> {
            for second in 1..=600 {
                self.clock.advance(Duration::from_secs(1));
                live(&mut self.signs);
                if let Verdict::Ill(why) = self.watchdog.judge(&self.signs) {
                    return Some((second, why));
                }
            }
            None
        }
    }

    fn steps(signs: &mut Signs) {
        signs.watch.steps += 7;
    }

    #[test]
    fn a_boat_at_work_is_fed() {
        assert_eq!(
            dog(2).after(|s| {
                steps(s);
                s.cameras.iter_mut().for_each(|c| *c += 3);
            }),
            None
        );
    }

    #[test]
    fn a_watch_that_hangs_is_not_fed() {
        let hung = dog(1).after(|s| s.cameras[0] += 1);
        let (second, why) = hung.unwrap();
        assert!((60..=63).contains(&second), "{second}");
        assert!(why.starts_with("the watch has not moved on for 6"), "{why}");
    }

    #[test]
    fn a_watch_that_hangs_on_a_frame_of_a_replay_is_not_fed_but_one_that_waits_for_it_is() {
        assert_eq!(dog(0).after(|_| {}), None);
        assert!(dog(0).after(|s| s.watch.waiting = false).is_some());
        let resting = |s: &mut Signs| (s.watch.waiting, s.watch.resting) = (false, true);
        assert_eq!(dog(0).after(resting), None);
    }

    #[test]
    fn a_camera_that_is_lost_and_looked_for_keeps_the_boat_fed() {
        // Its thread lives, though no frame comes: the watch hears that all is quiet.
        assert_eq!(
            dog(1).after(|s| {
                steps(s);
                s.cameras[0] += 1;
            }),
            None
        );
    }

    #[test]
    fn drivers_that_never_return_are_not_fed_unless_another_camera_works() {
        let (second, why) = dog(2).after(steps).unwrap();
        assert!((90..=93).contains(&second), "{second}");
        assert!(why.starts_with("no camera's driver has answered"), "{why}");
        assert_eq!(
            dog(2).after(|s| {
                steps(s);
                s.cameras[1] += 1;
            }),
            None
        );
    }

    #[test]
    fn an_outbox_that_fails_is_not_fed_but_a_full_disk_is() {
        let failing = |s: &mut Signs| {
            steps(s);
            s.proof = Proof::Failed;
        };
        let (second, why) = dog(0).after(failing).unwrap();
        assert!((120..=123).contains(&second), "{second}");
        assert!(why.starts_with("the outbox has failed to commit"), "{why}");
        assert_eq!(
            dog(0).after(|s| {
                steps(s);
                s.proof = Proof::Full;
            }),
            None
        );
        // A restart would lose what waits in memory.
        assert_eq!(
            dog(0).after(|s| {
                failing(s);
                s.in_memory = 1;
            }),
            None
        );
    }

    #[test]
    fn an_outbox_that_fails_now_and_then_is_fed() {
        let mut dog = dog(0);
        let now_and_then = |s: &mut Signs| {
            steps(s);
            s.proof = if (s.watch.steps - 1).is_multiple_of(70) {
                Proof::Committed
            } else {
                Proof::Failed
            };
        };
        assert_eq!(dog.after(now_and_then), None);
    }
}
