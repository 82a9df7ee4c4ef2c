//! The fields of an NMEA 0183 sentence.

use crate::time::DateWindow;
use flukewatch_common::clock::Timestamp;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// A field that must be valid is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidField;

/// A date and time that a sentence states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatedTime {
    /// The fields are empty.
    Missing,
    /// The fields do not hold a date and time.
    Unreadable,
    Utc(Timestamp),
}

/// The fields of a sentence, the first after the address being number 1. Missing ones are empty:
/// older versions of the standard have fewer.
pub(super) struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    pub(super) fn of(content: &'a str) -> Self {
        Self(content.split(',').map(str::trim).collect())
    }

    pub(super) fn text(&self, number: usize) -> &'a str {
        self.0.get(number).copied().unwrap_or_default()
    }

    /// A finite number; `None` where the field is empty or is not one.
    pub(super) fn number(&self, number: usize) -> Option<f32> {
        let value: f32 = self.text(number).parse().ok()?;
        value.is_finite().then_some(value)
    }

    pub(super) fn count(&self, number: usize) -> Option<u8> {
        self.text(number).parse().ok()
    }

    /// Latitude and longitude from the four fields after `first - 1`, in degrees north and east;
    /// `None` where they are empty.
    pub(super) fn coordinates(&self, first: usize) -> Result<Option<(f64, f64)>, InvalidField> {
        let latitude = angle(self.text(first), self.text(first + 1), ["N", "S"], 90.0)?;
        let longitude = angle(
            self.text(first + 2),
            self.text(first + 3),
            ["E", "W"],
            180.0,
        )?;
        match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => Ok(Some((latitude, longitude))),
            (None, None) => Ok(None),
            _ => Err(InvalidField),
        }
    }

    /// The time in field `time` on the date `ddmmyy` in field `date`.
    pub(super) fn time_on(&self, time: usize, date: usize, dates: DateWindow) -> StatedTime {
        let (time, date) = (self.text(time), self.text(date));
        if time.is_empty() || date.is_empty() {
            return StatedTime::Missing;
        }
        let utc = || {
            let (ddmmyy, "") = split_number(date)? else {
                return None;
            };
            let year = dates.year_of(u8::try_from(ddmmyy % 100).ok()?);
            utc(year, ddmmyy / 100 % 100, ddmmyy / 10_000, time)
        };
        utc().map_or(StatedTime::Unreadable, StatedTime::Utc)
    }

    /// The time in field 1 on the date in fields 2 to 4: day, month and year with four digits.
    pub(super) fn time_with_full_date(&self) -> StatedTime {
        let date = [2, 3, 4].map(|number| self.text(number));
        if self.text(1).is_empty() || date.iter().any(|field| field.is_empty()) {
            return StatedTime::Missing;
        }
        let utc = || {
            let [day, month, year] = date.map(|field| match split_number(field) {
                Some((value, "")) => Some(value),
                _ => None,
            });
            utc(i16::try_from(year?).ok()?, month?, day?, self.text(1))
        };
        utc().map_or(StatedTime::Unreadable, StatedTime::Utc)
    }
}

/// Splits an unsigned decimal number into its whole part and the digits after its point.
fn split_number(text: &str) -> Option<(u32, &str)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    Some((whole.parse().ok()?, fraction))
}

/// Degrees from `dddmm.mmm`, read as a number: some receivers omit leading zeros. `None` where the
/// field is empty.
fn angle(text: &str, side: &str, sides: [&str; 2], max: f64) -> Result<Option<f64>, InvalidField> {
    if text.is_empty() {
        return Ok(None);
    }
    let (whole, fraction) = split_number(text).ok_or(InvalidField)?;
    let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| InvalidField)?;
    let minutes = f64::from(whole % 100) + fraction;
    let degrees = f64::from(whole / 100) + minutes / 60.0;
    // 60 minutes are rounded ones.
    if minutes > 60.0 || degrees > max {
        return Err(InvalidField);
    }
    match sides.iter().position(|s| *s == side) {
        Some(0) => Ok(Some(degrees)),
        Some(_) => Ok(Some(-degrees)),
        None => Err(InvalidField),
    }
}

/// The time `hhmmss.sss` on a date. A leap second is the first second of the next minute.
fn utc(year: i16, month: u32, day: u32, time: &str) -> Option<Timestamp> {
    let (whole, fraction) = split_number(time)?;
    let (hours, minutes, seconds) = (whole / 10_000, whole / 100 % 100, whole % 100);
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let millis = i64::from((hours * 60 + minutes) * 60 + seconds) * 1000
        + (fraction * 1000.0).round() as i64;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = jiff::civil::Date::new(year, month, day).ok()?;
    let days = (date - jiff::civil::date(1970, 1, 1)).get_days();
    Some(Timestamp(i64::from(days) * DAY + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinates(text: &str) -> Result<Option<(f64, f64)>, InvalidField> {
        Fields::of(&format!("GPGLL,{text}")).coordinates(1)
    }

    #[test]
    fn degrees_are_read_by_value_with_or_without_leading_zeros() {
        for (text, latitude, longitude) in [
            ("5047.445,N,00100.102,W", 50.79075, -1.0017),
            ("5047.445,N,100.102,W", 50.79075, -1.0017),
            ("5047.445,N,0100.102,W", 50.79075, -1.0017),
            ("830.738,S,1237.5,E", -8.5123, 12.625),
            ("0830.738,S,01237.5,E", -8.5123, 12.625),
            ("0.5,N,7.5,W", 1.0 / 120.0, -0.125),
            ("0000.5000,N,00007.5000,W", 1.0 / 120.0, -0.125),
            ("5,S,17959.999,E", -5.0 / 60.0, 179.0 + 59.999 / 60.0),
            ("9000.00,N,18000.00,W", 90.0, -180.0),
            ("3760.0000,S,00060.0000,W", -38.0, -1.0),
            ("3830,N,02837.,W", 38.5, -28.0 - 37.0 / 60.0),
            (
                "4134.49795459,N,09345.03431408,W",
                41.574_965_909_833,
                -93.750_571_901_333,
            ),
        ] {
            let (north, east) = coordinates(text).unwrap().unwrap();
            let off = (north - latitude).abs().max((east - longitude).abs());
            assert!(off < 1e-11, "{text}: {north}, {east}");
        }
    }

    #[test]
    fn what_is_not_a_position_is_rejected() {
        for text in [
            "3860.001,N,02837.5,W",
            "3830.738,N,02861.0,W",
            "9000.001,N,02837.5,W",
            "3830.738,N,18000.1,W",
            "36000.0000,N,72000.0000,E",
            "-3830.738,N,02837.5,W",
            "+3830.738,N,02837.5,W",
            "3830.7e1,N,02837.5,W",
            "nan,N,02837.5,W",
            "3830.738,,02837.5,W",
            "3830.738,N,02837.5,",
            "3830.738,E,02837.5,N",
            "3830.738,N,,",
            ",,02837.5,W",
            "38.30.7,N,02837.5,W",
            "99999999999999999999,N,02837.5,W",
        ] {
            assert_eq!(coordinates(text), Err(InvalidField), "{text}");
        }
        for text in ["", ",,,", ",N,,E"] {
            assert_eq!(coordinates(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn times_are_read_or_reported_as_unreadable() {
        let window = DateWindow::default();
        let time = |text: &str| Fields::of(&format!("GPRMC,{text}")).time_on(1, 2, window);
        let noon = Timestamp(1_795_450_800_000);
        assert_eq!(time("162000.00,231126"), StatedTime::Utc(noon));
        assert_eq!(time("162000,231126"), StatedTime::Utc(noon));
        assert_eq!(
            time("162000.2504,231126"),
            StatedTime::Utc(noon.plus_millis(250))
        );
        assert_eq!(time("161960,231126"), StatedTime::Utc(noon));
        let early = StatedTime::Utc(Timestamp(1_793_518_385_000));
        assert_eq!(time("073305,011126"), early);
        assert_eq!(time("73305,11126"), early);
        for missing in ["", "162000,", ",231126"] {
            assert_eq!(time(missing), StatedTime::Missing, "{missing}");
        }
        for text in [
            "162000,2208-1",
            "162000,310226",
            "162000,001126",
            "162000,231326",
            "242000,231126",
            "166000,231126",
            "162061,231126",
            "1620-1,231126",
            "noon,231126",
            "162000,2311.26",
        ] {
            assert_eq!(time(text), StatedTime::Unreadable, "{text}");
        }
        let full = |text: &str| Fields::of(&format!("GPZDA,{text}")).time_with_full_date();
        assert_eq!(full("162000.00,23,11,2026,00,00"), StatedTime::Utc(noon));
        assert_eq!(full("162000.00,,,,,"), StatedTime::Missing);
        assert_eq!(full("162000.00,23,11,-1"), StatedTime::Unreadable);
        assert_eq!(full("162000.00,30,02,2026"), StatedTime::Unreadable);
    }
}
