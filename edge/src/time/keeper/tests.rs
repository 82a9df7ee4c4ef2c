use super::*;
use crate::time::ManualSteadyClock;
use flukewatch_common::clock::ManualClock;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const YEAR: i64 = 365 * 86_400_000;

struct Boat {
    clock: Arc<ManualClock>,
    steady: Arc<ManualSteadyClock>,
    keeper: Timekeeper,
}

/// A boat whose computer says `says` when it is [`NOW`].
fn boat(says: Timestamp) -> Boat {
    let clock = Arc::new(ManualClock::new(says));
    let steady = Arc::new(ManualSteadyClock::new(Moment::from_millis(5_000)));
    let keeper = Timekeeper::new(clock.clone(), steady.clone());
    Boat {
        clock,
        steady,
        keeper,
    }
}

impl Boat {
    fn pass(&self, milliseconds: i64) {
        self.clock.advance(milliseconds);
        self.steady
            .advance(Duration::from_millis(milliseconds.unsigned_abs()));
    }

    /// What it really is: [`NOW`] was when the steady clock stood at 5 s.
    fn truth(&self) -> Timestamp {
        NOW.plus_millis(self.steady.now().millis_since(Moment::from_millis(5_000)))
    }

    /// The receiver names the time, `late` milliseconds after it was.
    fn hear(&self, late: i64) {
        self.keeper
            .heard(self.truth().plus_millis(-late), self.steady.now());
    }
}

#[test]
fn without_satellites_the_computer_is_believed_and_not_trusted() {
    let boat = boat(NOW);
    let seen = boat.steady.now();
    boat.pass(60_000);
    let dated = boat.keeper.date(seen, Timing::Driver);
    assert_eq!(dated.time, NOW);
    assert_eq!(
        dated.basis,
        TimeBasis {
            source: TimeSource::Computer,
            uncertainty: None
        }
    );
}

#[test]
fn a_computer_that_starts_in_1970_is_corrected_once_satellites_are_heard() {
    let boat = boat(Timestamp(3_000));
    let seen = boat.steady.now();
    assert_eq!(
        boat.keeper.date(seen, Timing::Driver).time,
        Timestamp(3_000)
    );
    for _ in 0..AGREEING {
        assert_eq!(boat.keeper.status().source, "computer");
        boat.pass(1_000);
        boat.hear(300);
    }
    // What was seen before the first sentence is dated by it, too.
    let dated = boat.keeper.date(seen, Timing::Driver);
    assert_eq!(dated.time, NOW.plus_millis(-300));
    assert_eq!(dated.basis.source, TimeSource::Satellites);
    let within = dated.basis.uncertainty.unwrap();
    assert!((500..600).contains(&within), "{within}");
    let ahead = boat.keeper.status().computer_ahead_milliseconds.unwrap();
    assert_eq!(ahead, 3_000 - (NOW.0 - 300));
}

#[test]
fn a_clock_that_jumps_by_a_year_changes_no_date_that_satellites_give() {
    for jump in [YEAR, -YEAR] {
        let boat = boat(NOW);
        (0..AGREEING).for_each(|_| boat.hear(0));
        let seen = boat.steady.now();
        boat.clock.advance(jump);
        boat.keeper.look();
        boat.pass(1_000);
        let dated = boat.keeper.date(seen, Timing::Driver);
        assert_eq!(
            (dated.time, dated.basis.source),
            (NOW, TimeSource::Satellites)
        );
        let status = boat.keeper.status();
        assert_eq!(
            (status.clock_jumps, status.computer_ahead_milliseconds),
            (1, Some(jump))
        );
    }
}

#[test]
fn without_satellites_a_jump_is_counted_and_the_newer_date_holds() {
    let boat = boat(Timestamp(0));
    let seen = boat.steady.now();
    boat.keeper.look();
    boat.pass(10_000);
    boat.clock.set(boat.truth());
    assert_eq!(boat.keeper.date(seen, Timing::Driver).time, NOW);
    assert_eq!(boat.keeper.status().clock_jumps, 1);
}

#[test]
fn the_sentence_with_the_least_delay_counts() {
    let boat = boat(NOW);
    for late in [700, 300, 900, 120, 800, 650] {
        boat.hear(late);
        boat.pass(1_000);
    }
    let off = boat.keeper.now().millis_since(boat.truth());
    assert!((-121..=-120).contains(&off), "{off}");
}

#[test]
fn one_wrong_time_of_the_receiver_is_not_believed_but_many_are() {
    let boat = boat(NOW);
    (0..AGREEING).for_each(|_| boat.hear(0));
    let elsewhere = |boat: &Boat| {
        boat.keeper
            .heard(boat.truth().plus_millis(YEAR), boat.steady.now())
    };
    for _ in 0..5 {
        elsewhere(&boat);
        boat.hear(0);
    }
    assert_eq!(boat.keeper.now(), NOW);
    assert_eq!(boat.keeper.status().refused_times, 5);
    (0..AGREEING).for_each(|_| elsewhere(&boat));
    assert_eq!(boat.keeper.now(), NOW.plus_millis(YEAR));
}

#[test]
fn a_receiver_that_has_lost_count_of_the_weeks_is_not_believed() {
    let boat = boat(NOW);
    for _ in 0..10 {
        let lost = boat.truth().plus_millis(-1024 * 7 * 86_400_000);
        boat.keeper.heard(lost, boat.steady.now());
    }
    let status = boat.keeper.status();
    assert_eq!(
        (status.source.as_str(), status.refused_times),
        ("computer", 10)
    );
}

#[test]
fn the_uncertainty_grows_while_satellites_are_silent() {
    let boat = boat(NOW);
    (0..AGREEING).for_each(|_| boat.hear(0));
    let within = |boat: &Boat| {
        let dated = boat.keeper.date(boat.steady.now(), Timing::Arrival);
        dated.basis.uncertainty.unwrap()
    };
    assert_eq!(within(&boat), 700);
    boat.pass(3_600_000);
    // 100 ppm of an hour are 360 ms.
    assert_eq!(within(&boat), 1_060);
}

#[test]
fn a_replay_s_dates_are_nobody_s() {
    let boat = boat(NOW);
    (0..AGREEING).for_each(|_| boat.hear(0));
    let basis = boat.keeper.date(boat.steady.now(), Timing::Replay).basis;
    assert_eq!(
        (basis.source, basis.uncertainty),
        (TimeSource::Replay, None)
    );
}

#[test]
fn no_time_that_anybody_says_breaks_it() {
    let boat = boat(Timestamp(i64::MIN));
    for utc in [i64::MIN, i64::MAX, 0, i64::MAX] {
        for heard in [i64::MIN, i64::MAX, 0] {
            boat.keeper.heard(Timestamp(utc), Moment(heard));
            boat.keeper.date(Moment(heard), Timing::Driver);
        }
    }
    boat.keeper.status();
}
