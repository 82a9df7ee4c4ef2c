//! Which dates of a GNSS receiver are plausible.
//!
//! Receivers count weeks with ten bits, and so state dates that are wrong by a multiple of 1024
//! weeks (19.6 years), e.g. after a rollover that their firmware does not know; before their first
//! fix many start with 1980-01-06. No true date is earlier than this version of the program.

use flukewatch_common::clock::Timestamp;

/// 2026-11-01, the date of this version. Set it with each release, in the source, so that every
/// build of a version decides alike.
const RELEASED: Timestamp = Timestamp(1_793_491_200_000);
/// How long after its release a version may be in use: less than 1024 weeks, so that of all dates
/// that differ by a rollover at most one is plausible, with years to spare.
const YEARS_IN_USE: i64 = 15;
/// A Julian year in milliseconds.
const YEAR: i64 = 31_557_600_000;

/// The plausible dates: from a version's release to 15 years after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateWindow {
    released: Timestamp,
}

impl Default for DateWindow {
    /// The window of this version.
    fn default() -> Self {
        Self::from_release(RELEASED)
    }
}

impl DateWindow {
    /// The window of a version that was released at `released`.
    pub fn from_release(released: Timestamp) -> Self {
        Self { released }
    }

    /// Whether `utc` can be a true date.
    pub fn contains(self, utc: Timestamp) -> bool {
        utc >= self.released && utc < self.released.plus_millis(YEARS_IN_USE * YEAR)
    }

    /// The year that a receiver states by its last two digits: the one nearest to the release.
    pub fn year_of(self, two_digits: u8) -> i16 {
        let released: i16 = jiff::Timestamp::from_millisecond(self.released.0)
            .map_or(2026, |t| jiff::tz::Offset::UTC.to_datetime(t).year());
        let year = released - released.rem_euclid(100) + i16::from(two_digits);
        match year - released {
            51.. => year - 100,
            ..-49 => year + 100,
            _ => year,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(
            text.parse::<jiff::Timestamp>()
                .expect("a valid time")
                .as_millisecond(),
        )
    }

    const ROLLOVER: i64 = 1024 * 7 * 86_400_000;

    #[test]
    fn of_dates_that_differ_by_a_rollover_one_is_plausible() {
        let window = DateWindow::default();
        assert_eq!(RELEASED, at("2026-11-01T00:00:00Z"));
        for truth in [
            "2026-11-01T00:00:00Z",
            "2026-11-23T16:20:00Z",
            "2031-02-28T23:59:59Z",
            "2041-10-31T00:00:00Z",
        ] {
            let plausible: Vec<i64> = (-3..=3)
                .filter(|n| window.contains(at(truth).plus_millis(n * ROLLOVER)))
                .collect();
            assert_eq!(plausible, [0], "{truth}");
        }
        for never in [
            "1980-01-06T00:00:00Z",
            "2007-04-09T16:20:00Z",
            "2026-10-31T23:59:59Z",
            "2046-01-01T00:00:00Z",
            "2046-07-09T16:20:00Z",
            "2080-01-06T16:20:00Z",
        ] {
            assert!(!window.contains(at(never)), "{never}");
        }
        assert!(!window.contains(Timestamp(i64::MIN)) && !window.contains(Timestamp(i64::MAX)));
    }

    #[test]
    fn two_digits_are_the_nearest_year() {
        let window = DateWindow::default();
        for (digits, year) in [
            (26, 2026),
            (27, 2027),
            (41, 2041),
            (46, 2046),
            (76, 2076),
            (77, 1977),
            (80, 1980),
            (99, 1999),
            (0, 2000),
        ] {
            assert_eq!(window.year_of(digits), year);
        }
        let old = DateWindow::from_release(at("1999-06-01T00:00:00Z"));
        assert_eq!(
            [99, 0, 14, 49, 50].map(|digits| old.year_of(digits)),
            [1999, 2000, 2014, 2049, 1950]
        );
    }
}
