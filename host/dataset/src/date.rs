//! Dates of capture: as written in a table, and read when a command uses them.

use crate::DatasetError;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// When a photo was taken: on a day, or in a month or year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureDate {
    first: Date,
    last: Date,
}

/// Why a text is not a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Day and month are ambiguous.
    #[error(
        "'{text}' is ambiguous: {day_first} if the day is first, {month_first} if the month is; write one of these"
    )]
    Ambiguous {
        /// As written.
        text: String,
        /// The date if the day comes first.
        day_first: Date,
        /// The date if the month comes first.
        month_first: Date,
    },
    /// Anything else.
    #[error(
        "'{text}' is not a date; expected e.g. 2024-06-19, 2024:06:19 10:11:12, 2024-06, 2024 or nothing"
    )]
    Unknown {
        /// As written.
        text: String,
    },
}

/// A date as written in a table, not read yet: a command that uses no dates accepts any text.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenDate {
    pub(crate) text: String,
    pub(crate) table: Arc<Path>,
    pub(crate) line: u64,
}

impl WrittenDate {
    /// The date as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the date; `None` for the zeros of a camera without a clock.
    ///
    /// # Errors
    /// With the table's line, if it is not a date or ambiguous.
    pub fn read(&self) -> Result<Option<CaptureDate>, DatasetError> {
        let digits = || self.text.chars().filter(char::is_ascii_digit);
        let number = |c: char| c.is_ascii_digit() || matches!(c, ':' | '-' | '/' | ' ');
        if digits().all(|d| d == '0') && self.text.chars().all(number) {
            return Ok(None);
        }
        self.text
            .parse()
            .map(Some)
            .map_err(|e: DateError| DatasetError::Line {
                path: self.table.to_path_buf(),
                line: self.line,
                reason: e.to_string(),
            })
    }
}

impl From<Date> for CaptureDate {
    fn from(day: Date) -> Self {
        Self {
            first: day,
            last: day,
        }
    }
}

impl CaptureDate {
    /// The day, if it is known.
    pub fn day(&self) -> Option<Date> {
        (self.first == self.last).then_some(self.first)
    }

    /// Whether all of its days are before those of `other`.
    pub fn is_before(&self, other: &Self) -> bool {
        self.last < other.first
    }

    /// Days since an earlier date, at least 1; from the middle of a month or year.
    pub fn days_since(&self, earlier: &Self) -> i32 {
        let twice = (self.first - earlier.first).get_days() + (self.last - earlier.last).get_days();
        (twice / 2).max(1)
    }

    fn year(year: i16) -> Option<Self> {
        Some(Self {
            first: Date::new(year, 1, 1).ok()?,
            last: Date::new(year, 12, 31).ok()?,
        })
    }

    fn month(year: i16, month: i8) -> Option<Self> {
        let first = Date::new(year, month, 1).ok()?;
        Some(Self {
            first,
            last: first.last_of_month(),
        })
    }
}

impl fmt::Display for CaptureDate {
    /// ISO 8601: `2024-06-19`, `2024-06` or `2024`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        if first == last {
            write!(f, "{first}")
        } else if first.month() == last.month() {
            write!(f, "{:04}-{:02}", first.year(), first.month())
        } else {
            write!(f, "{:04}", first.year())
        }
    }
}

impl FromStr for CaptureDate {
    type Err = DateError;

    /// Reads ISO 8601, EXIF, and dates with slashes, dots, spaces or an English month; a time of
    /// day is ignored: the day is local with an offset, and UTC with Z.
    fn from_str(text: &str) -> Result<Self, DateError> {
        let unknown = || DateError::Unknown {
            text: text.to_owned(),
        };
        if let Some(day) = iso(text) {
            return Ok(day.into());
        }
        let date = without_time(text.trim()).ok_or_else(unknown)?;
        let parts: Vec<Part> = date
            .split(|c: char| !c.is_alphanumeric())
            .filter(|t| !t.is_empty())
            .map(|t| Part::of(t).ok_or_else(unknown))
            .collect::<Result<_, _>>()?;
        match parts[..] {
            [Part::Year(year)] => Self::year(year).ok_or_else(unknown),
            // A year that a spreadsheet or pandas wrote as a fraction.
            [Part::Year(year), Part::Number(0)] if date.ends_with(".0") => {
                Self::year(year).ok_or_else(unknown)
            }
            [Part::Year(year), Part::Number(month) | Part::Month(month)]
            | [Part::Number(month) | Part::Month(month), Part::Year(year)] => {
                Self::month(year, month).ok_or_else(unknown)
            }
            [
                Part::Year(year),
                Part::Number(month) | Part::Month(month),
                Part::Number(day),
            ]
            | [Part::Number(day), Part::Month(month), Part::Year(year)]
            | [Part::Month(month), Part::Number(day), Part::Year(year)] => {
                Date::new(year, month, day)
                    .map(Self::from)
                    .map_err(|_| unknown())
            }
            [Part::Number(a), Part::Number(b), Part::Year(year)] => {
                match (Date::new(year, b, a), Date::new(year, a, b)) {
                    (Ok(day_first), Ok(month_first)) if day_first != month_first => {
                        Err(DateError::Ambiguous {
                            text: text.to_owned(),
                            day_first,
                            month_first,
                        })
                    }
                    (Ok(day), _) | (_, Ok(day)) => Ok(day.into()),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// The day of an ISO date or date-time.
fn iso(text: &str) -> Option<Date> {
    let instant = || {
        let instant: Timestamp = text.parse().ok()?;
        Some(TimeZone::UTC.to_datetime(instant).date())
    };
    text.parse().ok().or_else(instant)
}

/// What stands before the time of day; `None` if that is not a time.
fn without_time(text: &str) -> Option<String> {
    // The T of ISO 8601, between digits.
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let spaced = match text.find('T') {
        Some(at) if at > 0 && digit(at - 1) && digit(at + 1) => text.replacen('T', " ", 1),
        _ => text.to_owned(),
    };
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let is_time = |(at, word): (usize, &&str)| at > 0 && word.contains(':');
    let time = words.iter().enumerate().position(is_time);
    let (date, time) = words.split_at(time.unwrap_or(words.len()));
    let valid = |word: &&str| {
        let letters: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        let letters = letters.to_ascii_lowercase();
        let rest = |c: char| c.is_ascii_alphanumeric() || ":.,+-".contains(c);
        matches!(letters.as_str(), "" | "z" | "am" | "pm" | "utc" | "gmt") && word.chars().all(rest)
    };
    time.iter().all(valid).then(|| date.join(" "))
}

/// A part of a date.
#[derive(Clone, Copy)]
enum Part {
    /// Four digits.
    Year(i16),
    /// One or two digits.
    Number(i8),
    /// An English month.
    Month(i8),
}

impl Part {
    fn of(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        if text.chars().all(|c| c.is_ascii_digit()) {
            return match text.len() {
                4 => text.parse().ok().map(Self::Year),
                1 | 2 => text.parse().ok().map(Self::Number),
                _ => None,
            };
        }
        let text = text.to_ascii_lowercase();
        let month = MONTHS
            .iter()
            .position(|m| text.len() >= 3 && (m.starts_with(&text) || text == "sept"))?;
        let month = if text == "sept" { 8 } else { month };
        i8::try_from(month + 1).ok().map(Self::Month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn read(text: &str) -> Result<CaptureDate, DateError> {
        text.parse()
    }

    #[test]
    fn a_date_is_shown_as_precisely_as_it_is_known() {
        for (written, shown) in [
            ("19 Jun 2024", "2024-06-19"),
            ("06/2024", "2024-06"),
            ("2024", "2024"),
        ] {
            let date: CaptureDate = written.parse().unwrap();
            assert_eq!(date.to_string(), shown);
            assert_eq!(shown.parse(), Ok(date));
        }
    }

    #[test]
    fn common_forms_are_read() {
        for text in [
            "2024-06-19",
            "2024-06-19T23:30:00",
            "2024-06-19 23:30",
            "2024-06-19T01:30+02:00",
            "2024-06-19T23:30Z",
            "2024-06-19 10:11:12.123456+00:00",
            "20240619",
            "2024:06:19 10:11:12",
            "2024:06:19 10:11:12.50+02:00",
            "2024:06:19",
            "2024/06/19",
            "2024/6/19 9:05 PM",
            "2024.06.19",
            "19/06/2024",
            "06/19/2024 10:11",
            "19.6.2024",
            "19 Jun 2024",
            "19-Jun-2024",
            "June 19, 2024 10:11 UTC",
        ] {
            assert_eq!(read(text), Ok(date(2024, 6, 19).into()), "{text}");
        }
        assert_eq!(read("07/07/2024"), Ok(date(2024, 7, 7).into()));
        assert_eq!(read("1 Sept 2024"), Ok(date(2024, 9, 1).into()));
    }

    #[test]
    fn months_and_years_are_read() {
        let month = CaptureDate {
            first: date(2024, 2, 1),
            last: date(2024, 2, 29),
        };
        for text in ["2024-02", "2024/2", "02/2024", "Feb 2024", "2024:02"] {
            assert_eq!(read(text), Ok(month), "{text}");
        }
        let year = CaptureDate {
            first: date(2024, 1, 1),
            last: date(2024, 12, 31),
        };
        assert_eq!((read("2024"), read("2024.0")), (Ok(year), Ok(year)));
    }

    #[test]
    fn day_and_month_must_be_clear() {
        for text in ["03/04/2024", "3.4.2024", "03-04-2024 10:11"] {
            assert_eq!(
                read(text),
                Err(DateError::Ambiguous {
                    text: text.into(),
                    day_first: date(2024, 4, 3),
                    month_first: date(2024, 3, 4),
                })
            );
        }
    }

    #[test]
    fn other_texts_are_not_dates() {
        for text in [
            "x",
            "19.06.24",
            "2024-02-30",
            "2024-13",
            "32/01/2024",
            "2024-06-19 noon",
            "2024:06:19 10:11:xx",
            "43660",
            "19 Ju 2024",
            "T",
            "2024 2024",
        ] {
            assert!(
                matches!(read(text), Err(DateError::Unknown { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn zeros_of_a_camera_without_a_clock_are_no_date() {
        let written = |text: &str| WrittenDate {
            text: text.into(),
            table: Path::new("t.csv").into(),
            line: 3,
        };
        assert!(matches!(written("0000:00:00 00:00:00").read(), Ok(None)));
        let error = written("x").read().unwrap_err().to_string();
        assert!(error.starts_with("t.csv:3: 'x' is not a date"), "{error}");
    }

    #[test]
    fn a_date_is_before_another_if_all_of_its_days_are() {
        let [year, month, day] = ["2023", "2024-02", "2024-02-10"].map(|t| read(t).unwrap());
        assert!(year.is_before(&month) && year.is_before(&day));
        assert!(!month.is_before(&day) && !day.is_before(&month));
        assert_eq!((month.day(), day.day()), (None, Some(date(2024, 2, 10))));
        assert_eq!(day.days_since(&date(2024, 2, 7).into()), 3);
        let next = read("2024").unwrap();
        assert_eq!(next.days_since(&year), 365);
    }
}
