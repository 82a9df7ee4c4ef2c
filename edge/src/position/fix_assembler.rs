//! Combines sentences into fixes: one has the position, another its quality, a third the heading.

use super::history::{Fix, PositionHistory};
use super::nav_update::{NavUpdate, ReportedPosition, ReportedTime, Source};
use super::sources::rank;
use crate::time::{DateWindow, MonotonicTimestamp, UtcClock};
use flukewatch_common::position::FixQuality;
use std::sync::Arc;
use std::time::Duration;

/// Receivers repeat each value about once a second; older values are not part of a fix.
const MAX_AGE: Duration = Duration::from_secs(5);

/// A value and when it arrived.
type Timed<T> = Option<(T, MonotonicTimestamp)>;

/// Combines the updates of a receiver into fixes, and passes its time on.
///
/// Where several receivers share the connection, only fixes of the best quality become positions.
pub struct FixAssembler {
    positions: Arc<PositionHistory>,
    utc_clock: Arc<UtcClock>,
    quality: Timed<FixQuality>,
    satellites: Timed<u8>,
    hdop: Timed<f32>,
    speed: Timed<f32>,
    course: Timed<f32>,
    heading: Timed<f32>,
    compass_heading: Timed<f32>,
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
            quality: None,
            satellites: None,
            hdop: None,
            speed: None,
            course: None,
            heading: None,
            compass_heading: None,
        }
    }

    /// The dates that its clock accepts.
    pub(super) fn dates(&self) -> DateWindow {
        self.utc_clock.dates()
    }

    /// Takes an update of `source` that arrived at `at`.
    pub(super) fn push(&mut self, source: Source<'_>, update: &NavUpdate, at: MonotonicTimestamp) {
        remember(&mut self.speed, update.speed, at);
        remember(&mut self.course, update.course, at);
        remember(&mut self.heading, update.heading, at);
        remember(&mut self.compass_heading, update.compass_heading, at);
        if update.position != Some(ReportedPosition::NoFix) {
            // A receiver without a fix must not lend its satellites to another.
            remember(&mut self.satellites, update.satellites, at);
            remember(&mut self.hdop, update.hdop, at);
        }
        match update.position {
            Some(ReportedPosition::NoFix) => self.positions.report(source, None, at),
            Some(ReportedPosition::At {
                latitude,
                longitude,
                quality,
            }) => self.push_fix(source, (latitude, longitude), quality, at),
            None => {}
        }
        match update.time {
            Some(ReportedTime::Confirmed(utc)) => self.utc_clock.update_gnss(utc, at),
            Some(ReportedTime::Unconfirmed(utc)) if self.positions.confirms(source, at) => {
                self.utc_clock.update_gnss(utc, at);
            }
            Some(ReportedTime::Unreadable) => self.utc_clock.count_unreadable_time(),
            Some(ReportedTime::Unconfirmed(_)) | None => {}
        }
    }

    fn push_fix(
        &mut self,
        source: Source<'_>,
        (latitude, longitude): (f64, f64),
        stated: Option<FixQuality>,
        at: MonotonicTimestamp,
    ) {
        remember(&mut self.quality, stated, at);
        let quality = stated
            .or(recent(self.quality, at))
            .unwrap_or(FixQuality::Autonomous);
        self.positions.report(source, Some(quality), at);
        if rank(quality) < self.positions.best_quality(at, MAX_AGE).map_or(0, rank) {
            return;
        }
        self.positions.add(Fix {
            at,
            latitude,
            longitude,
            quality,
            satellites: recent(self.satellites, at),
            hdop: recent(self.hdop, at),
            speed: recent(self.speed, at),
            course: recent(self.course, at),
            heading: recent(self.heading, at).or(recent(self.compass_heading, at)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::framing::{Framed, SentenceFramer};
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
            let mut framer = SentenceFramer::default();
            let (now, mut sentences) = (self.clock.now(), 0);
            framer.push(format!("${content}*{sum:02X}").as_bytes(), |framed| {
                let Framed::Sentence { tag, content } = framed else {
                    panic!("{framed:?}");
                };
                let update = sentence::parse(content, DateWindow::default()).unwrap();
                let source = Source {
                    device: tag,
                    sentence: sentence::address(content).unwrap(),
                };
                self.fix_assembler.push(source, &update.unwrap(), now);
                sentences += 1;
            });
            assert_eq!(sentences, 1, "{content}");
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
    fn a_magnetic_compass_counts_where_no_other_heading_is_known() {
        let mut boat = boat();
        let heading = |boat: &mut Boat| {
            boat.receive(RMC);
            boat.positions.last().unwrap().heading
        };
        boat.receive("HCHDG,100.0,,,10.0,W");
        assert_eq!(heading(&mut boat), Some(90.0));
        boat.receive("HEHDT,123.4,T");
        boat.receive("HCHDG,100.0,,,10.0,W");
        assert_eq!(heading(&mut boat), Some(123.4));
        boat.clock.advance(Duration::from_secs(6));
        assert_eq!(heading(&mut boat), None);
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
        boat.positions.count_sentence(false);
        for (seconds, state) in [(2, "fix"), (9, "no_fix")] {
            boat.clock.advance(Duration::from_secs(seconds));
            boat.receive("GPGGA,162002.00,,,,,0,00,99.99,,,,,,");
            assert_eq!(boat.positions.health(&*boat.clock).state, state);
        }
        assert_eq!(boat.positions.near(boat.clock.now()).unwrap().age, 11_000);
        boat.receive(RMC);
        boat.receive("GPRMC,162000.00,V,,,,,,,231126,,,N");
        assert_eq!(boat.positions.health(&*boat.clock).state, "no_fix");
    }

    #[test]
    fn a_receiver_without_a_fix_affects_no_other() {
        let mut boat = boat();
        boat.positions.count_sentence(false);
        for second in 0..20 {
            boat.receive("GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,");
            boat.receive(&RMC.replace("162000", &format!("1620{second:02}")));
            boat.receive("IIRMC,002000.00,V,,,,,,,010130,,,N");
            boat.receive("IIGGA,162000.00,,,,,0,03,9.75,12.0,M,54.0,M,,");
            boat.receive("IIZDA,002000.00,01,01,2030,00,00");
            let health = boat.positions.health(&*boat.clock);
            assert_eq!((health.state.as_str(), health.satellites), ("fix", Some(9)));
            boat.clock.advance(Duration::from_secs(1));
        }
        let health = boat.positions.health(&*boat.clock);
        let states: Vec<&str> = health.sources.iter().map(|s| s.state.as_str()).collect();
        assert_eq!(states, ["fix", "fix", "no_fix", "no_fix"], "{health:?}");
        assert_eq!(boat.utc_clock.status().source, "gnss");
        let year = boat.utc_clock.now().to_string();
        assert!(year.starts_with("2026-11-23"), "{year}");
    }

    #[test]
    fn fixes_of_a_worse_quality_are_not_used() {
        let mut boat = boat();
        let gga = |north: &str, quality: u8| {
            format!("GPGGA,162000.00,{north},N,02830.0000,W,{quality},09,0.75,12.0,M,54.0,M,,")
        };
        boat.receive(&gga("3830.0000", 1));
        boat.receive(&gga("1000.0000", 8).replace("GP", "II"));
        boat.receive(&gga("2000.0000", 6).replace("GP", "IN"));
        assert_eq!(boat.positions.last().unwrap().latitude, 38.5);
        boat.clock.advance(Duration::from_secs(11));
        boat.receive(&gga("2000.0000", 6).replace("GP", "IN"));
        assert_eq!(boat.positions.last().unwrap().latitude, 20.0);
    }
}
