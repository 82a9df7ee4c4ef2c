//! From single sentences to fixes: one sentence has the place, another what it rests on, a third where the bow points.

use super::heard::{Heard, Place};
use super::positions::{Fix, Positions};
use crate::time::{Moment, Timekeeper};
use flukewatch_common::position::FixQuality;
use std::sync::Arc;
use std::time::Duration;

/// Receivers say each thing about once a second; what is older belongs to no fix any more.
const TOGETHER: Duration = Duration::from_secs(5);

/// Something that was said, and when.
type Said<T> = Option<(T, Moment)>;

/// Makes fixes of what a receiver says, and hands its time on.
pub struct Navigator {
    positions: Arc<Positions>,
    keeper: Arc<Timekeeper>,
    place: Said<Place>,
    quality: Said<FixQuality>,
    satellites: Said<u8>,
    hdop: Said<f32>,
    speed: Said<f32>,
    course: Said<f32>,
    heading: Said<f32>,
}

fn remember<T>(said: &mut Said<T>, heard: Option<T>, at: Moment) {
    if let Some(value) = heard {
        *said = Some((value, at));
    }
}

fn recent<T: Copy>(said: Said<T>, at: Moment) -> Option<T> {
    said.filter(|(_, when)| at.apart(*when) <= TOGETHER)
        .map(|(value, _)| value)
}

impl Navigator {
    /// Fixes go to `positions`, times to `keeper`.
    pub fn new(positions: Arc<Positions>, keeper: Arc<Timekeeper>) -> Self {
        Self {
            positions,
            keeper,
            place: None,
            quality: None,
            satellites: None,
            hdop: None,
            speed: None,
            course: None,
            heading: None,
        }
    }

    /// Takes what was heard at `at`.
    pub fn take(&mut self, heard: &Heard, at: Moment) {
        remember(&mut self.satellites, heard.satellites, at);
        remember(&mut self.hdop, heard.hdop, at);
        remember(&mut self.speed, heard.speed, at);
        remember(&mut self.course, heard.course, at);
        remember(&mut self.heading, heard.heading, at);
        remember(&mut self.place, heard.place, at);
        match heard.place {
            Some(Place::Unknown) => self.positions.no_fix(),
            Some(Place::At {
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
                    quality: quality.unwrap_or(FixQuality::Satellites),
                    satellites: recent(self.satellites, at),
                    hdop: recent(self.hdop, at),
                    speed: recent(self.speed, at),
                    course: recent(self.course, at),
                    heading: recent(self.heading, at),
                });
            }
            None => {}
        }
        let has_fix = matches!(recent(self.place, at), Some(Place::At { .. }));
        if let Some(time) = heard.time.filter(|_| heard.time_is_checked || has_fix) {
            self.keeper.heard(time, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::sentence;
    use crate::time::{ManualSteadyClock, SteadyClock};
    use flukewatch_common::clock::{ManualClock, Timestamp};
    use flukewatch_common::position::TimeSource;

    struct Boat {
        clock: Arc<ManualSteadyClock>,
        positions: Arc<Positions>,
        keeper: Arc<Timekeeper>,
        navigator: Navigator,
    }

    fn boat() -> Boat {
        let clock = Arc::new(ManualSteadyClock::new(Moment::from_millis(50_000)));
        let computer = Arc::new(ManualClock::new(Timestamp(7)));
        let keeper = Arc::new(Timekeeper::new(computer, clock.clone()));
        let positions = Arc::new(Positions::new(Duration::from_secs(60), true));
        let navigator = Navigator::new(positions.clone(), keeper.clone());
        Boat {
            clock,
            positions,
            keeper,
            navigator,
        }
    }

    impl Boat {
        fn hear(&mut self, content: &str) {
            let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
            let heard = sentence::parse(format!("${content}*{sum:02X}").as_bytes()).unwrap();
            self.navigator.take(&heard, self.clock.now());
        }
    }

    const RMC: &str = "GPRMC,162000.00,A,3830.0000,N,02830.0000,W,6.5,270.0,231126,,,A";

    #[test]
    fn sentences_of_one_second_make_one_fix() {
        let mut boat = boat();
        boat.hear("HEHDT,123.4,T");
        boat.hear("GPGGA,162000.00,3830.0000,N,02830.0000,W,2,09,0.75,12.0,M,54.0,M,,");
        boat.hear("GPVTG,054.7,T,,M,005.5,N,,K,D");
        boat.hear(&RMC.replace("6.5,270.0", ","));
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
    fn what_was_said_long_ago_belongs_to_no_fix() {
        let mut boat = boat();
        boat.hear("HEHDT,123.4,T");
        boat.hear("GPGGA,162000.00,3830.0000,N,02830.0000,W,4,09,0.75,12.0,M,54.0,M,,");
        boat.clock.advance(Duration::from_secs(6));
        boat.hear(RMC);
        let fix = boat.positions.last().unwrap();
        assert_eq!(
            (fix.heading, fix.satellites, fix.quality),
            (None, None, FixQuality::Satellites)
        );
    }

    #[test]
    fn the_time_of_a_receiver_without_a_fix_is_its_own_and_not_used() {
        let mut boat = boat();
        for _ in 0..5 {
            boat.hear("GPZDA,162000.00,23,11,2026,00,00");
            boat.hear("GPRMC,162000.00,V,,,,,,,231126,,,N");
        }
        assert_eq!(boat.keeper.status().source, "computer");
        boat.hear(RMC);
        for _ in 0..2 {
            boat.hear("GPZDA,162000.00,23,11,2026,00,00");
        }
        let dated = boat
            .keeper
            .date(boat.clock.now(), crate::time::Timing::Driver);
        assert_eq!(dated.basis.source, TimeSource::Satellites);
        assert_eq!(dated.time, Timestamp(1_795_450_800_000));
    }

    #[test]
    fn a_lost_fix_is_said_and_the_old_one_stays_what_it_is() {
        let mut boat = boat();
        boat.hear(RMC);
        boat.clock.advance(Duration::from_secs(2));
        boat.hear("GPGGA,162002.00,,,,,0,00,99.99,,,,,,");
        boat.positions.hears();
        assert_eq!(boat.positions.health(&*boat.clock).state, "no-fix");
        assert_eq!(boat.positions.near(boat.clock.now()).unwrap().age, 2000);
    }
}
