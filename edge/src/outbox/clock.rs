//! The outbox's own clock, by which its messages age.

use super::accept::Outbox;
use super::error::OutboxError;
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::clock::{Clock, Timestamp};
use std::sync::Arc;

/// A clock that counts the time of operation: it advances with the monotonic clock while the
/// program runs, and continues after a restart where it was last saved. So neither a step of the
/// computer's clock, nor GNSS time that differs from it, nor a wrong date makes messages older.
///
/// Its times are milliseconds of operation since the outbox was created, not dates.
pub struct OutboxClock {
    resumed: Timestamp,
    started: MonotonicTimestamp,
    monotonic: Arc<dyn MonotonicClock>,
}

impl Clock for OutboxClock {
    fn now(&self) -> Timestamp {
        let passed = self.monotonic.now().millis_since(self.started);
        self.resumed.plus_millis(passed.max(0))
    }
}

impl Outbox {
    /// The outbox's clock, resumed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clock(&self, monotonic: Arc<dyn MonotonicClock>) -> Result<OutboxClock, OutboxError> {
        Ok(OutboxClock {
            resumed: self.saved_time()?,
            started: monotonic.now(),
            monotonic,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{ArchiveLimits, Key, Queue};
    use crate::sample;
    use crate::time::ManualMonotonicClock;
    use flukewatch_common::sighting::MessageKind;
    use std::path::Path;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);
    const TWO_DAYS: ArchiveLimits = ArchiveLimits {
        max_age: Duration::from_secs(2 * 86_400),
        max_bytes: 1 << 30,
    };

    struct Boat {
        outbox: Outbox,
        queue: Queue,
        monotonic: Arc<ManualMonotonicClock>,
        clock: OutboxClock,
    }

    /// The program starts on a computer whose monotonic clock is at `uptime`.
    fn start(folder: &Path, uptime: Duration) -> Boat {
        let outbox = Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        let monotonic = Arc::new(ManualMonotonicClock::new(
            MonotonicTimestamp::default().plus(uptime),
        ));
        Boat {
            queue: outbox.queue().unwrap().archives(),
            clock: outbox.clock(monotonic.clone()).unwrap(),
            outbox,
            monotonic,
        }
    }

    impl Boat {
        fn archive(&mut self, number: u64) {
            let (sighting, jpeg) = sample::sighting(number, 500);
            let now = self.clock.now();
            self.outbox.accept(&sighting, &jpeg, now).unwrap();
            let both = [MessageKind::Sighting, MessageKind::Picture].map(|part| Key {
                sighting: sighting.id,
                part,
                revision: 0,
            });
            assert_eq!(self.queue.acknowledge(&both).unwrap(), 2);
        }

        fn prune(&mut self) -> usize {
            let now = self.clock.now();
            self.queue.prune(TWO_DAYS, now).unwrap()
        }
    }

    #[test]
    fn time_of_operation_is_counted_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut boat = start(folder.path(), 400 * DAY);
        boat.archive(1);
        boat.monotonic.advance(DAY);
        boat.archive(2);
        // Another boot, whose monotonic clock starts at 0.
        drop(boat);
        let mut boat = start(folder.path(), Duration::ZERO);
        assert_eq!(boat.prune(), 0);
        boat.monotonic.advance(DAY + Duration::from_secs(1));
        assert_eq!(boat.prune(), 1, "the first is two days old");
        let now = boat.clock.now();
        boat.queue.save_clock(now).unwrap();
        drop(boat);
        let mut boat = start(folder.path(), 7 * DAY);
        assert_eq!(boat.prune(), 0);
        boat.monotonic.advance(DAY);
        assert_eq!(boat.prune(), 1);
    }

    #[test]
    fn the_clock_never_runs_backwards() {
        let folder = tempfile::tempdir().unwrap();
        let mut boat = start(folder.path(), Duration::ZERO);
        boat.queue.save_clock(Timestamp(5_000)).unwrap();
        boat.queue.save_clock(Timestamp(-7)).unwrap();
        drop(boat);
        let boat = start(folder.path(), Duration::ZERO);
        assert_eq!(boat.clock.now(), Timestamp(5_000));
    }
}
