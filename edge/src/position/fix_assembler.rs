//! Combines sentences into fixes: one has the position, another its quality, a third the heading.

use super::history::{Fix, PositionHistory};
use super::nav_update::{NavUpdate, ReportedPosition};
use crate::time::{MonotonicTimestamp, UtcClock};
use flukewatch_common::position::FixQuality;
use std::sync::Arc;
use std::time::Duration;

/// Receivers repeat each value about once a second; older values are not part of a fix.
const MAX_AGE: Duration = Duration::from_secs(5);

/// A value and when it arrived.
type Timed<T> = Option<(T, MonotonicTimestamp)>;

/// Combines the updates of a receiver into fixes, and passes its time on.
pub struct FixAssembler {
    positions: Arc<PositionHistory>,
    utc_clock: Arc<UtcClock>,
    position: Timed<ReportedPosition>,
    quality: Timed<FixQuality>,
    satellites: Timed<u8>,
    hdop: Timed<f32>,
    speed: Timed<f32>,
    course: Timed<f32>,
    heading: Timed<f32>,
}

fn remember<T>(timed: &mut Timed<T>, value: Option<T>, at: MonotonicTimestamp) {
    if let Some(value) = value {
        *timed = Some((value, at));
    }
}

fn recent<T: Copy>(timed: Timed<T>, at: MonotonicTimestamp) -> Option<T> {
    timed
        .filter(|(_, when)| at.abs_diff(*when) <= MAX_AGE)
        .map(|(value, _)| value)
}

impl FixAssembler {
    /// Fixes go to `positions`, times to `utc_clock`.
    pub fn new(positions: Arc<PositionHistory>, utc_clock: Arc<UtcClock>) -> Self {
        Self {
            positions,
            utc_clock,
            position: None,
            quality: None,
            satellites: None,
            hdop: None,
            speed: None,
            course: None,
            heading: None,
        }
    }

    /// Takes an update that arrived at `at`.
    pub fn push(&mut self, update: &NavUpdate, at: MonotonicTimestamp) {
        remember(&mut self.satellites, update.satellites, at);
        remember(&mut self.hdop, update.hdop, at);
        remember(&mut self.speed, update.speed, at);
        remember(&mut self.course, update.course, at);
        remember(&mut self.heading, update.heading, at);
        remember(&mut self.position, update.position, at);
        match update.position {
            Some(ReportedPosition::NoFix) => self.positions.set_no_fix(),
            Some(ReportedPosition::At {
                latitude,
                longitude,
                quality,
            }) => {
                remember(&mut self.quality, quality, at);
                let quality = quality.or(recent(self.quality, at));
                self.positions.add(Fix {
                    at,
                    latitude,
                    longitude,
                    quality: quality.unwrap_or(FixQuality::Autonomous),
                    satellites: recent(self.satellites, at),
                    hdop: recent(self.hdop, at),
                    speed: recent(self.speed, at),
                    course: recent(self.course, at),
                    heading: recent(self.heading, at),
                });
            }
            None => {}
        }
        let has_fix = matches!(recent(self.position, at), Some(ReportedPosition::At { .. }));
        if let Some(time) = update.time.filter(|_| update.time_is_valid || has_fix) {
            self.utc_clock.update_gnss(time, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::sentence;
    use crate::time::{ManualMonotonicClock, MonotonicClock};
    use flukewatch_common::clock::{ManualClock, Timestamp};
    use flukewatch_common::position::TimeSource;

    struct Boat {
        clock: Arc<ManualMonotonicClock>,
        positions: Arc<PositionHistory>,
        utc_clock: Arc<UtcClock>,
        fix_assembler: FixAssembler,
    }

    fn boat() -> Boat {
        let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
            50_000,
        )));
        let computer = Arc::new(ManualClock::new(Timestamp(7)));
        let utc_clock = Arc::new(UtcClock::new(computer, clock.clone()));
        let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), true));
        let fix_assembler = FixAssembler::new(positions.clone(), utc_clock.clone());
        Boat {
            clock,
            positions,
            utc_clock,
            fix_assembler,
        }
    }

    impl Boat {
        fn receive(&mut self, content: &str) {
            let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
            let update = sentence::parse(format!("${content}*{sum:02X}").as_bytes()).unwrap();
            self.fix_assembler.push(&update, self.clock.now());
        }
    }

    const RMC: &str = "GPRMC,162000.00,A,3830.0000,N,02830.0000,W,6.5,270.0,231126,,,A";

    #[test]
    fn sentences_of_one_second_make_one_fix() {
        let mut boat = boat();
        boat.receive("HEHDT,123.4,T");
        boat.receive("GPGGA,162000.00,3830.0000,N,02830.0000,W,2,09,0.75,12.0,M,54.0,M,,");
        boat.receive("GPVTG,054.7,T,,M,005.5,N,,K,D");
        boat.receive(&RMC.replace("6.5,270.0", ","));
        let fix = boat.positions.last().unwrap();
        assert_eq!((fix.latitude, fix.longitude), (38.5, -28.5));
        assert_eq!(fix.quality, FixQuality::Differential);
        assert_eq!((fix.satellites, fix.hdop), (Some(9), Some(0.75)));
        assert_eq!(
            (fix.speed, fix.course, fix.heading),
            (Some(5.5), Some(54.7), Some(123.4))
        );
    }

    #[test]
    fn old_values_are_not_part_of_a_fix() {
        let mut boat = boat();
        boat.receive("HEHDT,123.4,T");
        boat.receive("GPGGA,162000.00,3830.0000,N,02830.0000,W,4,09,0.75,12.0,M,54.0,M,,");
        boat.clock.advance(Duration::from_secs(6));
        boat.receive(RMC);
        let fix = boat.positions.last().unwrap();
        assert_eq!(
            (fix.heading, fix.satellites, fix.quality),
            (None, None, FixQuality::Autonomous)
        );
    }

    #[test]
    fn the_time_of_a_receiver_without_a_fix_is_ignored() {
        let mut boat = boat();
        for _ in 0..5 {
            boat.receive("GPZDA,162000.00,23,11,2026,00,00");
            boat.receive("GPRMC,162000.00,V,,,,,,,231126,,,N");
        }
        assert_eq!(boat.utc_clock.status().source, "system");
        boat.receive(RMC);
        for _ in 0..2 {
            boat.receive("GPZDA,162000.00,23,11,2026,00,00");
        }
        let utc = boat
            .utc_clock
            .to_utc(boat.clock.now(), crate::time::Timing::Driver);
        assert_eq!(utc.basis.source, TimeSource::Gnss);
        assert_eq!(utc.time, Timestamp(1_795_450_800_000));
    }

    #[test]
    fn a_lost_fix_is_reported_and_the_old_one_stays() {
        let mut boat = boat();
        boat.receive(RMC);
        boat.clock.advance(Duration::from_secs(2));
        boat.receive("GPGGA,162002.00,,,,,0,00,99.99,,,,,,");
        boat.positions.count_sentence();
        assert_eq!(boat.positions.health(&*boat.clock).state, "no_fix");
        assert_eq!(boat.positions.near(boat.clock.now()).unwrap().age, 2000);
    }
}
