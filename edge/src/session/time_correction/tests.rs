use super::*;
use crate::outbox::{Load, Outbox};
use crate::sample;
use crate::time::{ManualMonotonicClock, MonotonicClock};
use flukewatch_common::clock::{Clock, ManualClock};
use flukewatch_common::position::TimeBasis;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use std::collections::HashSet;
use std::sync::Arc;

const RIGHT: Timestamp = Timestamp(1_795_450_800_000);
const HOUR: Duration = Duration::from_secs(3600);

struct Boat {
    _folder: tempfile::TempDir,
    outbox: Outbox,
    queue: Queue,
    system: Arc<ManualClock>,
    monotonic: Arc<ManualMonotonicClock>,
    clock: UtcClock,
    correction: TimeCorrection,
    accepted: u64,
}

/// A boat whose computer shows `date` when it starts.
fn boat(date: Timestamp) -> Boat {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &sample::boat(), 1 << 30, sample::epoch())
        .unwrap()
        .during(Some("boot".into()));
    let system = Arc::new(ManualClock::new(date));
    let monotonic = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        60_000,
    )));
    Boat {
        _folder: folder,
        queue: outbox.queue().unwrap(),
        outbox,
        clock: UtcClock::new(system.clone(), monotonic.clone()),
        system,
        monotonic,
        correction: TimeCorrection::default(),
        accepted: 0,
    }
}

impl Boat {
    fn advance(&self, duration: Duration) {
        self.monotonic.advance(duration);
        self.system.advance(duration.as_millis() as i64);
    }

    /// Accepts a sighting of now.
    fn accept(&mut self, timing: Timing) {
        self.accepted += 1;
        let now = self.monotonic.now();
        let UtcTime { time, basis } = self.clock.to_utc(now, timing);
        let (sighting, jpeg) = sample::sighting(self.accepted, 100);
        let sighting = Sighting {
            started: time,
            ended: time.plus_millis(500),
            time: Some(basis),
            ..sighting
        };
        let clock = self.clock.to_utc(now, Timing::Driver).basis.source;
        let taken = Taken {
            started: now,
            timing,
            clock,
        };
        self.outbox
            .accept_taken(&sighting, &jpeg, Some(taken), self.system.now())
            .unwrap();
    }

    /// The receiver states `utc` for now, until it is accepted.
    fn gnss(&self, utc: Timestamp) {
        for _ in 0..3 {
            self.clock.update_gnss(utc, self.monotonic.now());
        }
    }

    fn poll(&mut self) -> bool {
        let boot = || Some("boot".to_owned());
        let Self {
            correction,
            queue,
            clock,
            accepted,
            ..
        } = self;
        correction.poll(queue, boot, clock, *accepted)
    }

    fn correct(&mut self) {
        self.poll();
        assert!(self.poll());
    }

    fn sightings(&self) -> Vec<Sighting> {
        let pending = self.queue.next(&HashSet::new(), 100).unwrap();
        let sightings = pending
            .into_iter()
            .filter(|p| p.key.part == MessageKind::Sighting);
        sightings
            .map(|p| match self.queue.load(p.key).unwrap() {
                Load::Message(message) => wire::decode(&message).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Revision and start of each sighting.
    fn starts(&self) -> Vec<(u32, Timestamp)> {
        let all = self.sightings().into_iter();
        all.map(|s| (s.revision, s.started)).collect()
    }
}

#[test]
fn gnss_time_corrects_sightings_of_a_computer_in_1970_or_2046() {
    for date in [Timestamp(0), Timestamp(2_398_377_600_000)] {
        let mut boat = boat(date);
        boat.accept(Timing::Driver);
        boat.advance(HOUR);
        boat.accept(Timing::Pipeline(300));
        boat.correct();
        assert!(boat.sightings().iter().all(|s| s.revision == 0));
        boat.gnss(RIGHT);
        assert!(!boat.poll(), "a single reading is not trusted");
        assert!(boat.sightings().iter().all(|s| s.revision == 0));
        assert!(boat.poll());
        let hour_before = RIGHT.plus_millis(-3_600_000);
        assert_eq!(boat.starts(), [(1, hour_before), (1, RIGHT)]);
        let [first, second] = &boat.sightings()[..] else {
            panic!("two sightings")
        };
        assert_eq!(first.ended.millis_since(first.started), 500);
        let gnss = |uncertainty| {
            Some(TimeBasis {
                source: TimeSource::Gnss,
                uncertainty: Some(uncertainty),
            })
        };
        assert_eq!((first.time, second.time), (gnss(880), gnss(800)));
        boat.correct();
        assert!(boat.sightings().iter().all(|s| s.revision == 1));
    }
}

#[test]
fn a_wrong_date_of_the_receiver_is_corrected_once_it_knows_the_right_one() {
    let mut boat = boat(RIGHT);
    boat.gnss(RIGHT.plus_millis(7 * 86_400_000));
    boat.accept(Timing::Driver);
    boat.correct();
    boat.gnss(RIGHT);
    boat.correct();
    assert_eq!(boat.starts(), [(1, RIGHT)]);
}

#[test]
fn a_sighting_that_is_accepted_late_is_corrected_too() {
    let mut boat = boat(Timestamp(0));
    let (sighting, jpeg) = sample::sighting(1, 100);
    let taken = Taken {
        started: boat.monotonic.now(),
        timing: Timing::Driver,
        clock: TimeSource::System,
    };
    boat.gnss(RIGHT);
    boat.correct();
    boat.outbox
        .accept_taken(&sighting, &jpeg, Some(taken), RIGHT)
        .unwrap();
    boat.accepted = 1;
    boat.correct();
    assert_eq!(boat.starts(), [(1, RIGHT)]);
}

#[test]
fn errors_of_two_seconds_and_drift_are_not_corrected() {
    for (error, revision) in [(1_900, 0), (-1_900, 0), (2_100, 1), (-2_100, 1)] {
        let mut boat = boat(RIGHT.plus_millis(error));
        boat.accept(Timing::Driver);
        boat.gnss(RIGHT);
        boat.correct();
        assert_eq!(boat.sightings()[0].revision, revision, "{error} ms");
    }
    // A quartz with 50 ppm, for three days: 13 s.
    let mut boat = boat(RIGHT);
    boat.gnss(RIGHT);
    boat.accept(Timing::Driver);
    for _ in 0..72 {
        boat.advance(HOUR);
        boat.system.advance(180);
        boat.clock
            .update_gnss(boat.system.now(), boat.monotonic.now());
        boat.correct();
    }
    let reading = Reading::of(&boat.clock);
    assert!(reading.zero.millis_since(RIGHT.plus_millis(-60_000)) > 10_000);
    assert_eq!(boat.starts(), [(0, RIGHT)]);
}

#[test]
fn a_step_of_the_system_clock_corrects_its_own_times_only() {
    let mut boat = boat(Timestamp(0));
    boat.accept(Timing::Driver);
    boat.system.set(RIGHT);
    boat.correct();
    assert_eq!(boat.starts(), [(1, RIGHT)]);
    boat.gnss(RIGHT);
    boat.accept(Timing::Driver);
    // The program restarts, and has no GNSS time yet.
    boat.clock = UtcClock::new(boat.system.clone(), boat.monotonic.clone());
    boat.correction = TimeCorrection::default();
    boat.system.set(Timestamp(0));
    boat.correct();
    assert_eq!(boat.starts(), [(2, Timestamp(0)), (0, RIGHT)]);
    boat.gnss(RIGHT);
    boat.correct();
    assert_eq!(boat.starts(), [(3, RIGHT), (0, RIGHT)]);
}

#[test]
fn a_replay_stays_a_replay() {
    let mut boat = boat(Timestamp(0));
    boat.accept(Timing::Replay);
    boat.gnss(RIGHT);
    boat.correct();
    let sighting = boat.sightings().remove(0);
    assert_eq!((sighting.revision, sighting.started), (1, RIGHT));
    assert_eq!(sighting.time.unwrap().source, TimeSource::Replay);
    boat.correct();
    assert_eq!(boat.sightings()[0].revision, 1);
}

#[test]
fn nothing_is_corrected_where_the_boot_is_unknown() {
    let mut boat = boat(Timestamp(0));
    boat.accept(Timing::Driver);
    boat.gnss(RIGHT);
    boat.poll();
    let Boat {
        correction,
        queue,
        clock,
        ..
    } = &mut boat;
    assert!(correction.poll(queue, || None, clock, 1));
    assert_eq!(boat.sightings()[0].revision, 0);
}
