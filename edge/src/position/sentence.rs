//! The content of NMEA 0183 sentences: `$GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A`.
//!
//! GGA, GLL, GNS, HDG, HDT, RMC, THS, VTG and ZDA of any talker are read; others are ignored. Fields that
//! do not matter here, e.g. the height, may hold anything.

use super::fields::{Fields, InvalidField, StatedTime};
use super::nav_update::{MAX_HDOP, MAX_SPEED, NavUpdate, ReportedPosition, ReportedTime, in_range};
use crate::time::DateWindow;
use flukewatch_common::position::FixQuality;

/// A sentence with a valid checksum and an invalid content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed sentence ${sentence}: invalid {field}")]
pub(super) struct MalformedSentence {
    /// Its address, e.g. `GPRMC`.
    pub(super) sentence: String,
    /// The invalid field.
    pub(super) field: &'static str,
}

/// The name of the invalid field.
type Invalid = &'static str;

/// Parses a sentence, from its `$` up to the `*` of its checksum, which is already verified; `None`
/// for a kind that is ignored. Years of two digits are completed by `dates`.
///
/// # Errors
/// When a status is unknown, or a fix has no valid coordinates.
pub(super) fn parse(
    content: &str,
    dates: DateWindow,
) -> Result<Option<NavUpdate>, MalformedSentence> {
    let Some(address) = address(content) else {
        return Ok(None);
    };
    let fields = Fields::of(content);
    let update = match address.get(2..).unwrap_or_default() {
        "RMC" => parse_rmc(&fields, dates),
        "GGA" => parse_gga(&fields),
        "GLL" => parse_gll(&fields),
        "GNS" => parse_gns(&fields),
        "VTG" => Ok(parse_vtg(&fields)),
        "ZDA" => Ok(NavUpdate {
            time: time(fields.time_with_full_date(), ReportedTime::Unconfirmed),
            ..NavUpdate::default()
        }),
        "HDT" => Ok(NavUpdate {
            heading: in_range(fields.number(1), 360.0),
            ..NavUpdate::default()
        }),
        "THS" => Ok(NavUpdate {
            // V: not valid.
            heading: in_range(fields.number(1), 360.0).filter(|_| fields.text(2) != "V"),
            ..NavUpdate::default()
        }),
        "HDG" => Ok(NavUpdate {
            compass_heading: compass_heading(&fields),
            ..NavUpdate::default()
        }),
        _ => return Ok(None),
    };
    update.map(Some).map_err(|field| MalformedSentence {
        sentence: address.to_owned(),
        field,
    })
}

/// Two letters of the talker and three of the kind; `None` for other addresses, e.g. those of
/// proprietary sentences, `$P...`.
pub(super) fn address(content: &str) -> Option<&str> {
    let (address, _) = content.strip_prefix('$')?.split_once(',')?;
    let standard = address.len() == 5 && address.is_ascii() && !address.starts_with('P');
    standard.then_some(address)
}

fn parse_rmc(fields: &Fields<'_>, dates: DateWindow) -> Result<NavUpdate, Invalid> {
    let mode = fields.text(12);
    let has_fix = has_fix(fields.text(2), mode)?;
    let stated = fields.time_on(1, 9, dates);
    Ok(NavUpdate {
        // Without a fix it is the receiver's own clock.
        time: time(stated, ReportedTime::Confirmed).filter(|_| has_fix),
        position: Some(position(has_fix, fields, 3, quality_of_modes(mode))?),
        speed: in_range(fields.number(7), MAX_SPEED).filter(|_| has_fix),
        course: in_range(fields.number(8), 360.0).filter(|_| has_fix),
        ..NavUpdate::default()
    })
}

fn parse_gga(fields: &Fields<'_>) -> Result<NavUpdate, Invalid> {
    let quality = match fields.text(6) {
        // Some receivers leave it out, and state in RMC whether they have a fix.
        "" => return Ok(NavUpdate::default()),
        "0" => None,
        "2" | "9" => Some(FixQuality::Differential),
        "4" => Some(FixQuality::Rtk),
        "5" => Some(FixQuality::RtkFloat),
        "6" => Some(FixQuality::Estimated),
        "7" => Some(FixQuality::Manual),
        "8" => Some(FixQuality::Simulated),
        digit if digit.bytes().all(|b| b.is_ascii_digit()) => Some(FixQuality::Autonomous),
        _ => return Err("quality"),
    };
    Ok(NavUpdate {
        position: Some(position(quality.is_some(), fields, 2, quality)?),
        satellites: fields.count(7),
        hdop: in_range(fields.number(8), MAX_HDOP),
        ..NavUpdate::default()
    })
}

fn parse_gns(fields: &Fields<'_>) -> Result<NavUpdate, Invalid> {
    // One letter for each system of satellites.
    let modes = fields.text(6);
    if !modes.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err("mode");
    }
    let has_fix = modes.bytes().any(|b| b != b'N');
    let quality = quality_of_modes(modes).or(Some(FixQuality::Autonomous));
    Ok(NavUpdate {
        position: Some(position(has_fix, fields, 2, quality)?),
        satellites: fields.count(7),
        hdop: in_range(fields.number(8), MAX_HDOP),
        ..NavUpdate::default()
    })
}

fn parse_gll(fields: &Fields<'_>) -> Result<NavUpdate, Invalid> {
    let (status, mode) = (fields.text(6), fields.text(7));
    if status.is_empty() {
        // Version 1.5 has no status: it does not state whether there is a fix.
        return Ok(NavUpdate::default());
    }
    let has_fix = has_fix(status, mode)?;
    Ok(NavUpdate {
        position: Some(position(has_fix, fields, 1, quality_of_modes(mode))?),
        ..NavUpdate::default()
    })
}

fn parse_vtg(fields: &Fields<'_>) -> NavUpdate {
    // Before version 2.3 the letters of the units are missing, and the fields are others.
    let unit = |number: usize, unit: &str| fields.text(number) == unit;
    let has_fix = fields.text(9) != "N";
    NavUpdate {
        speed: in_range(fields.number(5), MAX_SPEED).filter(|_| has_fix && unit(6, "N")),
        course: in_range(fields.number(1), 360.0).filter(|_| has_fix && unit(2, "T")),
        ..NavUpdate::default()
    }
}

/// The true heading of a magnetic compass; `None` where the variation is not stated. Deviation and
/// variation are positive eastwards.
fn compass_heading(fields: &Fields<'_>) -> Option<f32> {
    let eastwards = |number: usize| {
        let angle = in_range(fields.number(number), 180.0)?;
        match fields.text(number + 1) {
            "E" => Some(angle),
            "W" => Some(-angle),
            _ => None,
        }
    };
    let sensor = in_range(fields.number(1), 360.0)?;
    let deviation = if fields.text(2).is_empty() {
        0.0
    } else {
        eastwards(2)?
    };
    Some((sensor + deviation + eastwards(4)?).rem_euclid(360.0))
}

/// Whether status and mode, which older versions lack, state a fix.
fn has_fix(status: &str, mode: &str) -> Result<bool, Invalid> {
    match status {
        "A" | "D" => Ok(mode != "N"),
        // Magellan states N in GLL.
        "V" | "N" | "" => Ok(false),
        _ => Err("status"),
    }
}

fn position(
    has_fix: bool,
    fields: &Fields<'_>,
    first: usize,
    quality: Option<FixQuality>,
) -> Result<ReportedPosition, Invalid> {
    if !has_fix {
        return Ok(ReportedPosition::NoFix);
    }
    match fields.coordinates(first) {
        Ok(Some((latitude, longitude))) => Ok(ReportedPosition::at(latitude, longitude, quality)),
        Ok(None) => Ok(ReportedPosition::NoFix),
        Err(InvalidField) => Err("coordinates"),
    }
}

fn time(
    stated: StatedTime,
    reported: impl Fn(flukewatch_common::clock::Timestamp) -> ReportedTime,
) -> Option<ReportedTime> {
    match stated {
        StatedTime::Missing => None,
        StatedTime::Unreadable => Some(ReportedTime::Unreadable),
        StatedTime::Utc(utc) => Some(reported(utc)),
    }
}

/// The best quality that the letters of a mode state. Plain satellites are left open for a GGA
/// sentence.
fn quality_of_modes(modes: &str) -> Option<FixQuality> {
    let of_letter = |letter| match letter {
        b'R' => Some(FixQuality::Rtk),
        b'F' => Some(FixQuality::RtkFloat),
        b'D' => Some(FixQuality::Differential),
        b'A' | b'P' => Some(FixQuality::Autonomous),
        b'E' => Some(FixQuality::Estimated),
        b'M' => Some(FixQuality::Manual),
        b'S' => Some(FixQuality::Simulated),
        _ => None,
    };
    modes
        .bytes()
        .filter_map(of_letter)
        .max_by_key(|quality| super::sources::rank(*quality))
        .filter(|quality| *quality != FixQuality::Autonomous)
}

#[cfg(test)]
mod tests;
