use super::*;
use crate::time::ManualMonotonicClock;
use flukewatch_common::clock::ManualClock;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const YEAR: i64 = 365 * 86_400_000;

struct Boat {
    clock: Arc<ManualClock>,
    monotonic: Arc<ManualMonotonicClock>,
    utc_clock: UtcClock,
}

/// A boat with a system clock that shows `system` at [`NOW`].
fn boat(system: Timestamp) -> Boat {
    let clock = Arc::new(ManualClock::new(system));
    let monotonic = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        5_000,
    )));
    let utc_clock = UtcClock::new(clock.clone(), monotonic.clone());
    Boat {
        clock,
        monotonic,
        utc_clock,
    }
}

impl Boat {
    fn pass(&self, milliseconds: i64) {
        self.clock.advance(milliseconds);
        self.monotonic
            .advance(Duration::from_millis(milliseconds.unsigned_abs()));
    }

    /// The true time: [`NOW`] was when the monotonic clock showed 5 s.
    fn truth(&self) -> Timestamp {
        NOW.plus_millis(
            self.monotonic
                .now()
                .millis_since(MonotonicTimestamp::from_millis(5_000)),
        )
    }

    /// The receiver states the time `late` milliseconds late.
    fn receive_time(&self, late: i64) {
        self.utc_clock
            .update_gnss(self.truth().plus_millis(-late), self.monotonic.now());
    }
}

#[test]
fn without_gnss_the_system_clock_is_used_without_uncertainty() {
    let boat = boat(NOW);
    let seen = boat.monotonic.now();
    boat.pass(60_000);
    let utc = boat.utc_clock.to_utc(seen, Timing::Driver);
    assert_eq!(utc.time, NOW);
    assert_eq!(
        utc.basis,
        TimeBasis {
            source: TimeSource::System,
            uncertainty: None
        }
    );
}

#[test]
fn a_system_clock_of_1970_is_corrected_by_gnss() {
    let boat = boat(Timestamp(3_000));
    let seen = boat.monotonic.now();
    assert_eq!(
        boat.utc_clock.to_utc(seen, Timing::Driver).time,
        Timestamp(3_000)
    );
    for _ in 0..CONFIRMATIONS {
        assert_eq!(boat.utc_clock.status().source, "system");
        boat.pass(1_000);
        boat.receive_time(300);
    }
    // The sentence also dates earlier timestamps.
    let utc = boat.utc_clock.to_utc(seen, Timing::Driver);
    assert_eq!(utc.time, NOW.plus_millis(-300));
    assert_eq!(utc.basis.source, TimeSource::Gnss);
    let within = utc.basis.uncertainty.unwrap();
    assert!((500..600).contains(&within), "{within}");
    let ahead = boat
        .utc_clock
        .status()
        .system_clock_ahead_milliseconds
        .unwrap();
    assert_eq!(ahead, 3_000 - (NOW.0 - 300));
}

#[test]
fn a_jump_of_the_system_clock_does_not_change_gnss_time() {
    for jump in [YEAR, -YEAR] {
        let boat = boat(NOW);
        (0..CONFIRMATIONS).for_each(|_| boat.receive_time(0));
        let seen = boat.monotonic.now();
        boat.clock.advance(jump);
        boat.utc_clock.check_system_clock();
        boat.pass(1_000);
        let utc = boat.utc_clock.to_utc(seen, Timing::Driver);
        assert_eq!((utc.time, utc.basis.source), (NOW, TimeSource::Gnss));
        let status = boat.utc_clock.status();
        assert_eq!(
            (status.clock_jumps, status.system_clock_ahead_milliseconds),
            (1, Some(jump))
        );
    }
}

#[test]
fn without_gnss_a_jump_is_counted_and_the_new_time_is_used() {
    let boat = boat(Timestamp(0));
    let seen = boat.monotonic.now();
    boat.utc_clock.check_system_clock();
    boat.pass(10_000);
    boat.clock.set(boat.truth());
    assert_eq!(boat.utc_clock.to_utc(seen, Timing::Driver).time, NOW);
    assert_eq!(boat.utc_clock.status().clock_jumps, 1);
}

#[test]
fn the_sentence_with_the_least_delay_counts() {
    let boat = boat(NOW);
    for late in [700, 300, 900, 120, 800, 650] {
        boat.receive_time(late);
        boat.pass(1_000);
    }
    let off = boat.utc_clock.now().millis_since(boat.truth());
    assert!((-121..=-120).contains(&off), "{off}");
}

#[test]
fn one_wrong_gnss_time_is_rejected_and_many_are_accepted() {
    let boat = boat(NOW);
    (0..CONFIRMATIONS).for_each(|_| boat.receive_time(0));
    let elsewhere = |boat: &Boat| {
        boat.utc_clock
            .update_gnss(boat.truth().plus_millis(YEAR), boat.monotonic.now())
    };
    for _ in 0..5 {
        elsewhere(&boat);
        boat.receive_time(0);
    }
    assert_eq!(boat.utc_clock.now(), NOW);
    assert_eq!(boat.utc_clock.status().rejected_times, 5);
    (0..CONFIRMATIONS).for_each(|_| elsewhere(&boat));
    assert_eq!(boat.utc_clock.now(), NOW.plus_millis(YEAR));
}

#[test]
fn a_time_after_a_missed_week_rollover_is_rejected() {
    let boat = boat(NOW);
    for _ in 0..10 {
        let lost = boat.truth().plus_millis(-1024 * 7 * 86_400_000);
        boat.utc_clock.update_gnss(lost, boat.monotonic.now());
    }
    let status = boat.utc_clock.status();
    assert_eq!(
        (status.source.as_str(), status.rejected_times),
        ("system", 10)
    );
    assert_eq!(
        status.implausible_time.as_deref(),
        Some("2007-04-09T16:20:00.000Z")
    );
}

#[test]
fn implausible_dates_are_rejected_until_the_right_one_comes() {
    let boat = boat(NOW.plus_millis(-30 * YEAR));
    let rollover = 1024 * 7 * 86_400_000;
    for wrong in [Timestamp(0), NOW.plus_millis(rollover)] {
        for _ in 0..10 {
            boat.utc_clock.update_gnss(wrong, boat.monotonic.now());
        }
        assert_eq!(boat.utc_clock.status().source, "system");
    }
    (0..CONFIRMATIONS).for_each(|_| boat.receive_time(0));
    assert_eq!(boat.utc_clock.now(), NOW);
}

#[test]
fn the_window_of_dates_comes_from_outside() {
    let boat = boat(NOW);
    let old = Timestamp(1_150_000_000_000);
    let utc_clock =
        UtcClock::new(boat.clock, boat.monotonic.clone()).with_dates(DateWindow::from_release(old));
    (0..CONFIRMATIONS).for_each(|_| utc_clock.update_gnss(NOW, boat.monotonic.now()));
    assert_eq!(utc_clock.status().source, "system");
    let stated = old.plus_millis(YEAR);
    (0..CONFIRMATIONS).for_each(|_| utc_clock.update_gnss(stated, boat.monotonic.now()));
    assert_eq!(utc_clock.now(), stated);
}

#[test]
fn the_uncertainty_grows_without_new_gnss_time() {
    let boat = boat(NOW);
    (0..CONFIRMATIONS).for_each(|_| boat.receive_time(0));
    let uncertainty = |boat: &Boat| {
        let utc = boat.utc_clock.to_utc(boat.monotonic.now(), Timing::Arrival);
        utc.basis.uncertainty.unwrap()
    };
    assert_eq!(uncertainty(&boat), 700);
    boat.pass(3_600_000);
    // 100 ppm of an hour are 360 ms.
    assert_eq!(uncertainty(&boat), 1_060);
}

#[test]
fn a_replay_has_its_own_time_source() {
    let boat = boat(NOW);
    (0..CONFIRMATIONS).for_each(|_| boat.receive_time(0));
    let basis = boat
        .utc_clock
        .to_utc(boat.monotonic.now(), Timing::Replay)
        .basis;
    assert_eq!(
        (basis.source, basis.uncertainty),
        (TimeSource::Replay, None)
    );
}

#[test]
fn extreme_times_do_not_overflow() {
    let boat = boat(Timestamp(i64::MIN));
    for utc in [i64::MIN, i64::MAX, 0, i64::MAX] {
        for at in [i64::MIN, i64::MAX, 0] {
            let at = MonotonicTimestamp(at);
            boat.utc_clock.update_gnss(Timestamp(utc), at);
            boat.utc_clock.to_utc(at, Timing::Driver);
        }
    }
    boat.utc_clock.status();
}
