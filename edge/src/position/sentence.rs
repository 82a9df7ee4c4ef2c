//! NMEA 0183: `$GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A*45`.
//!
//! RMC, GGA, VTG, ZDA and HDT of any talker are parsed with the crate `nmea`; others are ignored.
//! Sentences without a valid checksum are rejected, since cables on a boat are long and wet.

use super::nav_update::{MAX_HDOP, MAX_SPEED, NavUpdate, ReportedPosition, in_range};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;
use nmea::ParseResult;
use nmea::sentences::rmc::RmcStatusOfFix;
use nmea::sentences::{FaaMode, FixType};

/// The kinds of sentences that are parsed.
const KINDS: [&str; 5] = ["RMC", "GGA", "VTG", "ZDA", "HDT"];

/// Why a line is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SentenceError {
    /// The line is not NMEA 0183.
    #[error("not an NMEA sentence: it does not start with $ or !")]
    Foreign,
    /// Missing or wrong checksum.
    #[error("damaged NMEA sentence: missing or wrong checksum")]
    Checksum,
    /// Intact, but a field is invalid.
    #[error("malformed {0} sentence")]
    Malformed(&'static str),
}

/// Parses the sentence in `line`; an empty update for a kind that is ignored.
///
/// # Errors
/// When it is not a sentence, or damaged.
pub fn parse(line: &[u8]) -> Result<NavUpdate, SentenceError> {
    let line = std::str::from_utf8(line)
        .map_err(|_| SentenceError::Foreign)?
        .trim();
    // A tag block of NMEA 4: \s:gps1,c:1795450800*5A\$GPRMC,...
    let line = match line.strip_prefix('\\') {
        Some(tagged) => tagged
            .split_once('\\')
            .map_or(tagged, |(_, sentence)| sentence),
        None => line,
    };
    if !line.starts_with(['$', '!']) || !line.is_ascii() {
        return Err(SentenceError::Foreign);
    }
    if !has_valid_checksum(line) {
        return Err(SentenceError::Checksum);
    }
    // `$`, two letters of the talker, three of the kind. Proprietary sentences, `$P`, differ.
    let kind = line.get(3..6).unwrap_or_default();
    let followed = line.as_bytes().get(6) == Some(&b',');
    let Some(kind) = KINDS
        .into_iter()
        .find(|k| *k == kind && followed && line.starts_with('$'))
    else {
        return Ok(NavUpdate::default());
    };
    let malformed = SentenceError::Malformed(kind);
    Ok(
        match nmea::parse_str(line).map_err(|_| malformed.clone())? {
            ParseResult::RMC(s) => {
                let has_fix = s.status_of_fix != RmcStatusOfFix::Invalid
                    && s.faa_mode != Some(FaaMode::DataNotValid);
                let time = s
                    .fix_date
                    .zip(s.fix_time)
                    .map(|(date, time)| date.and_time(time));
                NavUpdate {
                    time: time.map(|t| Timestamp(t.and_utc().timestamp_millis())),
                    time_is_valid: has_fix,
                    position: Some(position(
                        has_fix,
                        s.lat,
                        s.lon,
                        s.faa_mode.and_then(quality_of_mode),
                    )),
                    speed: in_range(s.speed_over_ground, MAX_SPEED).filter(|_| has_fix),
                    course: in_range(s.true_course, 360.0).filter(|_| has_fix),
                    ..NavUpdate::default()
                }
            }
            ParseResult::GGA(s) => {
                let quality = s.fix_type.and_then(quality_of_fix);
                NavUpdate {
                    position: Some(position(
                        quality.is_some(),
                        s.latitude,
                        s.longitude,
                        quality,
                    )),
                    satellites: s.fix_satellites.and_then(|n| u8::try_from(n).ok()),
                    hdop: in_range(s.hdop, MAX_HDOP),
                    ..NavUpdate::default()
                }
            }
            ParseResult::VTG(s) => NavUpdate {
                speed: in_range(s.speed_over_ground, MAX_SPEED),
                course: in_range(s.true_course, 360.0),
                ..NavUpdate::default()
            },
            ParseResult::ZDA(s) => {
                let time = s
                    .utc_date()
                    .zip(s.utc_time)
                    .map(|(date, time)| date.and_time(time));
                NavUpdate {
                    time: time.map(|t| Timestamp(t.and_utc().timestamp_millis())),
                    ..NavUpdate::default()
                }
            }
            ParseResult::HDT(s) => NavUpdate {
                heading: in_range(s.heading, 360.0),
                ..NavUpdate::default()
            },
            _ => return Err(malformed),
        },
    )
}

/// Whether the two hexadecimal digits after `*` are the exclusive or of the bytes between `$` and `*`,
/// and nothing follows them.
fn has_valid_checksum(line: &str) -> bool {
    let Some((content, sum)) = line.get(1..).and_then(|l| l.rsplit_once('*')) else {
        return false;
    };
    let found = content.bytes().fold(0, |sum, byte| sum ^ byte);
    sum.len() == 2 && u8::from_str_radix(sum, 16) == Ok(found)
}

fn position(
    has_fix: bool,
    latitude: Option<f64>,
    longitude: Option<f64>,
    quality: Option<FixQuality>,
) -> ReportedPosition {
    match latitude.zip(longitude).filter(|_| has_fix) {
        Some((latitude, longitude)) => ReportedPosition::at(latitude, longitude, quality),
        None => ReportedPosition::NoFix,
    }
}

fn quality_of_fix(fix: FixType) -> Option<FixQuality> {
    Some(match fix {
        FixType::Invalid => return None,
        FixType::Gps | FixType::Pps => FixQuality::Autonomous,
        FixType::DGps => FixQuality::Differential,
        FixType::Rtk => FixQuality::Rtk,
        FixType::FloatRtk => FixQuality::RtkFloat,
        FixType::Estimated => FixQuality::Estimated,
        FixType::Manual => FixQuality::Manual,
        FixType::Simulation => FixQuality::Simulated,
    })
}

/// The quality that RMC's mode states. Plain satellites are left open for a GGA sentence.
fn quality_of_mode(mode: FaaMode) -> Option<FixQuality> {
    match mode {
        FaaMode::Differential => Some(FixQuality::Differential),
        FaaMode::Estimated => Some(FixQuality::Estimated),
        FaaMode::FloatRtk => Some(FixQuality::RtkFloat),
        FaaMode::FixedRtk => Some(FixQuality::Rtk),
        FaaMode::Manual => Some(FixQuality::Manual),
        FaaMode::Simulator => Some(FixQuality::Simulated),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
