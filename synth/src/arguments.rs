//! Parsers for values on a command line.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// `A..B`, both ends included, or a single value.
#[derive(Clone, Debug, PartialEq)]
pub struct Between<T>(pub RangeInclusive<T>);

impl<T: FromStr + Clone + PartialOrd + Display> FromStr for Between<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim().parse::<T>().map_err(|_| {
                format!("'{part}' is not a number; expected a number or A..B, e.g. 3..5")
            })
        };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (number(from)?, number(to.strip_prefix('=').unwrap_or(to))?),
            None => (number(text)?, number(text)?),
        };
        if from <= to {
            Ok(Self(from..=to))
        } else {
            Err(format!(
                "{from}..{to}: the first number is greater than the second"
            ))
        }
    }
}

/// A frame's width and height from `WxH`, 64 to 8192 pixels each.
///
/// # Errors
/// When the text is not such a size.
pub fn frame_size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse().ok().filter(|s| (64..=8192).contains(s));
    text.split_once('x')
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .ok_or_else(|| "expected WxH in pixels, 64 to 8192 on each side, e.g. 640x360".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_one_number_or_two() {
        assert_eq!("3..5".parse(), Ok(Between(3..=5)));
        assert_eq!("4".parse(), Ok(Between(4..=4)));
        for bad in ["", "..", "a..b", "3..", "-1..2", "5..3"] {
            assert!(bad.parse::<Between<u32>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_is_width_and_height() {
        assert_eq!(frame_size("320x180"), Ok((320, 180)));
        for bad in ["big", "3x", "32x180", "320x9000"] {
            assert!(frame_size(bad).is_err(), "{bad}");
        }
    }
}
