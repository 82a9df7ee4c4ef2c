//! Times of the day, in UTC.

use flukewatch_common::clock::Timestamp;
use std::str::FromStr;

const MINUTES_A_DAY: i64 = 24 * 60;

/// A minute of the day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// A text is not a time of the day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UTC time of the day from \"00:00\" to \"23:59\", not \"{0}\"")]
pub struct InvalidTimeOfDay(String);

impl FromStr for TimeOfDay {
    type Err = InvalidTimeOfDay;

    fn from_str(text: &str) -> Result<Self, InvalidTimeOfDay> {
        let number = |digits: &str, below: u16| {
            let is_plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            let number: u16 = digits.parse().ok().filter(|_| is_plain)?;
            (number < below).then_some(number)
        };
        let time = text.split_once(':').and_then(|(hours, minutes)| {
            Some(Self(number(hours, 24)? * 60 + number(minutes, 60)?))
        });
        time.ok_or_else(|| InvalidTimeOfDay(text.chars().take(16).collect()))
    }
}

/// A part of each day, UTC, which may include midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    /// Its first minute.
    pub from: TimeOfDay,
    /// The minute after its last.
    pub to: TimeOfDay,
}

impl TimeSpan {
    /// Whether `now` is in it.
    pub fn contains(&self, now: Timestamp) -> bool {
        let minute = now.0.div_euclid(60_000).rem_euclid(MINUTES_A_DAY);
        let (from, to) = (i64::from(self.from.0), i64::from(self.to.0));
        if from <= to {
            (from..to).contains(&minute)
        } else {
            minute >= from || minute < to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_day_has_hours_and_minutes() {
        assert_eq!("00:00".parse(), Ok(TimeOfDay(0)));
        assert_eq!("23:59".parse(), Ok(TimeOfDay(1439)));
        for invalid in [
            "", "24:00", "12:60", "1:00", "12", "+1:00", "12:00:00", "éé:00",
        ] {
            assert!(invalid.parse::<TimeOfDay>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_span_may_include_midnight() {
        let at = |time: &str| {
            let minute = i64::from(time.parse::<TimeOfDay>().unwrap().0);
            // Some day before 1970.
            Timestamp((minute - 3 * MINUTES_A_DAY) * 60_000 + 59_999)
        };
        let contained = |from: &str, to: &str| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            ["00:00", "07:59", "08:00", "21:59", "22:00"]
                .map(|time| TimeSpan { from, to }.contains(at(time)))
        };
        assert_eq!(
            contained("08:00", "22:00"),
            [false, false, true, true, false]
        );
        assert_eq!(
            contained("22:00", "08:00"),
            [true, true, false, false, true]
        );
    }
}
