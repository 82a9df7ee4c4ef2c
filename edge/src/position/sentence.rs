//! NMEA 0183: `$GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A*45`.
//!
//! Read are RMC, GGA, VTG, ZDA and HDT of any talker, with the crate `nmea`. All else is passed over, and what has no or a wrong checksum is
//! counted as damaged: lines on a boat are long and wet.

use super::heard::{FASTEST, Heard, Place, WORST_HDOP, sensible};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;
use nmea::ParseResult;
use nmea::sentences::rmc::RmcStatusOfFix;
use nmea::sentences::{FaaMode, FixType};

/// What is read.
const KINDS: [&str; 5] = ["RMC", "GGA", "VTG", "ZDA", "HDT"];

/// Why a line is no sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SentenceError {
    /// Not NMEA 0183 at all.
    #[error("no sentence: it does not start with $ or !")]
    Foreign,
    /// The checksum is missing or wrong.
    #[error("a damaged sentence: its checksum is missing or wrong")]
    Checksum,
    /// Whole, and yet not what its name says.
    #[error("a {0} sentence that cannot be read")]
    Malformed(&'static str),
}

/// What the sentence in `line` says; nothing where it is of a kind that is passed over.
///
/// # Errors
/// When it is none, or damaged.
pub fn parse(line: &[u8]) -> Result<Heard, SentenceError> {
    let line = std::str::from_utf8(line)
        .map_err(|_| SentenceError::Foreign)?
        .trim();
    // A tag block, as NMEA 4 puts in front: \s:gps1,c:1795450800*5A\$GPRMC,...
    let line = match line.strip_prefix('\\') {
        Some(tagged) => tagged
            .split_once('\\')
            .map_or(tagged, |(_, sentence)| sentence),
        None => line,
    };
    if !line.starts_with(['$', '!']) || !line.is_ascii() {
        return Err(SentenceError::Foreign);
    }
    if !checksum_is_right(line) {
        return Err(SentenceError::Checksum);
    }
    // `$`, two letters of the talker, three of the kind. A proprietary one, `$P`, is longer or shorter.
    let kind = line.get(3..6).unwrap_or_default();
    let followed = line.as_bytes().get(6) == Some(&b',');
    let Some(kind) = KINDS
        .into_iter()
        .find(|k| *k == kind && followed && line.starts_with('$'))
    else {
        return Ok(Heard::default());
    };
    let malformed = SentenceError::Malformed(kind);
    Ok(
        match nmea::parse_str(line).map_err(|_| malformed.clone())? {
            ParseResult::RMC(s) => {
                let known = s.status_of_fix != RmcStatusOfFix::Invalid
                    && s.faa_mode != Some(FaaMode::DataNotValid);
                let time = s
                    .fix_date
                    .zip(s.fix_time)
                    .map(|(date, time)| date.and_time(time));
                Heard {
                    time: time.map(|t| Timestamp(t.and_utc().timestamp_millis())),
                    time_is_checked: known,
                    place: Some(place(
                        known,
                        s.lat,
                        s.lon,
                        s.faa_mode.and_then(quality_of_mode),
                    )),
                    speed: sensible(s.speed_over_ground, FASTEST).filter(|_| known),
                    course: sensible(s.true_course, 360.0).filter(|_| known),
                    ..Heard::default()
                }
            }
            ParseResult::GGA(s) => {
                let quality = s.fix_type.and_then(quality_of_fix);
                Heard {
                    place: Some(place(quality.is_some(), s.latitude, s.longitude, quality)),
                    satellites: s.fix_satellites.and_then(|n| u8::try_from(n).ok()),
                    hdop: sensible(s.hdop, WORST_HDOP),
                    ..Heard::default()
                }
            }
            ParseResult::VTG(s) => Heard {
                speed: sensible(s.speed_over_ground, FASTEST),
                course: sensible(s.true_course, 360.0),
                ..Heard::default()
            },
            ParseResult::ZDA(s) => {
                let time = s
                    .utc_date()
                    .zip(s.utc_time)
                    .map(|(date, time)| date.and_time(time));
                Heard {
                    time: time.map(|t| Timestamp(t.and_utc().timestamp_millis())),
                    ..Heard::default()
                }
            }
            ParseResult::HDT(s) => Heard {
                heading: sensible(s.heading, 360.0),
                ..Heard::default()
            },
            _ => return Err(malformed),
        },
    )
}

/// Whether the two hexadecimal digits behind `*` are the exclusive or of all between `$` and `*`, and nothing follows them.
fn checksum_is_right(line: &str) -> bool {
    let Some((content, sum)) = line.get(1..).and_then(|l| l.rsplit_once('*')) else {
        return false;
    };
    let found = content.bytes().fold(0, |sum, byte| sum ^ byte);
    sum.len() == 2 && u8::from_str_radix(sum, 16) == Ok(found)
}

fn place(
    known: bool,
    latitude: Option<f64>,
    longitude: Option<f64>,
    quality: Option<FixQuality>,
) -> Place {
    match latitude.zip(longitude).filter(|_| known) {
        Some((latitude, longitude)) => Place::at(latitude, longitude, quality),
        None => Place::Unknown,
    }
}

fn quality_of_fix(fix: FixType) -> Option<FixQuality> {
    Some(match fix {
        FixType::Invalid => return None,
        FixType::Gps | FixType::Pps => FixQuality::Satellites,
        FixType::DGps => FixQuality::Differential,
        FixType::Rtk => FixQuality::Rtk,
        FixType::FloatRtk => FixQuality::RtkFloat,
        FixType::Estimated => FixQuality::Estimated,
        FixType::Manual => FixQuality::Manual,
        FixType::Simulation => FixQuality::Simulated,
    })
}

/// What RMC's mode says beyond `valid`. Plain satellites are left open, so that a GGA sentence may say more.
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
