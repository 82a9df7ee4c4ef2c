//! Signal K's delta stream: JSON lines such as
//! `{"context":"vessels.urn:mrn:imo:mmsi:263403470","updates":[{"$source":"n2k.43","timestamp":"2026-11-23T16:20:00.250Z","values":[{"path":"navigation.position","value":{"latitude":38.5,"longitude":-28.6}}]}]}`.
//!
//! Its units are SI: metres per second, radians.

use super::nav_update::{MAX_HDOP, MAX_SPEED, NavUpdate, ReportedPosition, ReportedTime, in_range};
use crate::time::MonotonicTimestamp;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;
use serde::Deserialize;
use serde_json::Value;
use std::f64::consts::TAU;
use std::time::Duration;

/// The subscription to the paths that are read. The policy is `instant`: with `fixed` a server
/// repeats its last value whatever its age.
pub const SUBSCRIPTION: &[u8] = concat!(
    r#"{"context":"vessels.self","subscribe":["#,
    r#"{"path":"navigation.position","format":"delta","policy":"instant"},"#,
    r#"{"path":"navigation.datetime","format":"delta","policy":"instant"},"#,
    r#"{"path":"navigation.speedOverGround","format":"delta","policy":"instant"},"#,
    r#"{"path":"navigation.courseOverGroundTrue","format":"delta","policy":"instant"},"#,
    r#"{"path":"navigation.headingTrue","format":"delta","policy":"instant"},"#,
    r#"{"path":"navigation.gnss.*","format":"delta","policy":"instant"}"#,
    "]}\r\n"
)
.as_bytes();

/// Metres per second in a knot.
const KNOT: f64 = 0.514_444;
/// How long a stated quality holds that is not repeated.
const QUALITY_HOLD: Duration = Duration::from_secs(10);
/// Values to remember: of many more sources than a boat has.
const MAX_VALUES: usize = 256;

/// A line that is not from a Signal K server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid Signal K line: {0}")]
pub(super) struct InvalidLine(String);

/// What one source reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// The source, e.g. `n2k.43`; `signalk` where it is not named.
    pub(super) source: String,
    pub(super) update: NavUpdate,
}

/// What a line contained.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Delta {
    pub(super) reports: Vec<Report>,
    /// Whether it is about this boat and has a path that is read.
    pub(super) is_read: bool,
    /// Whether a path that is read has an invalid value.
    pub(super) malformed: bool,
}

#[derive(Deserialize)]
struct Line {
    /// The hello message's id of this boat.
    #[serde(rename = "self")]
    own: Option<String>,
    context: Option<String>,
    #[serde(default)]
    updates: Vec<Update>,
}

#[derive(Deserialize)]
struct Update {
    #[serde(rename = "$source")]
    source: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    values: Vec<PathValue>,
}

#[derive(Deserialize)]
struct PathValue {
    path: String,
    #[serde(default)]
    value: Value,
}

/// The paths that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Position,
    Time,
    Speed,
    Course,
    Heading,
    Quality,
    Satellites,
    Hdop,
}

impl Path {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.strip_prefix("navigation.")? {
            "position" => Self::Position,
            "datetime" => Self::Time,
            "speedOverGround" => Self::Speed,
            "courseOverGroundTrue" => Self::Course,
            "headingTrue" => Self::Heading,
            "gnss.methodQuality" => Self::Quality,
            "gnss.satellites" => Self::Satellites,
            "gnss.horizontalDilution" => Self::Hdop,
            _ => return None,
        })
    }
}

/// A value that a source sent before.
#[derive(Debug)]
struct Known {
    source: String,
    path: Path,
    timestamp: Option<String>,
}

/// The quality that a source states; `None` for no fix.
#[derive(Debug)]
struct StatedQuality {
    source: String,
    quality: Option<FixQuality>,
    at: MonotonicTimestamp,
}

/// A path with an invalid value.
struct InvalidValue;

/// One connection to a server.
///
/// A new subscriber first gets what the server remembers, however old it is, e.g. of a receiver that
/// died yesterday. Neither clock can tell: the server's and this computer's may both be wrong.
/// Therefore a source's first value of each path is not used, nor one with the timestamp of the
/// value before it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The id of this boat.
    own: Option<String>,
    known: Vec<Known>,
    qualities: Vec<StatedQuality>,
}

impl Stream {
    /// Reads a line that arrived at `now`.
    ///
    /// # Errors
    /// When it is neither a hello message nor a delta.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        now: MonotonicTimestamp,
    ) -> Result<Delta, InvalidLine> {
        let line: Line = serde_json::from_slice(line).map_err(|e| InvalidLine(e.to_string()))?;
        if let Some(own) = line.own {
            self.own = Some(own);
        } else if line.updates.is_empty() && line.context.is_none() {
            return Err(InvalidLine("neither a hello message nor a delta".into()));
        }
        let mut delta = Delta::default();
        if !self.is_own(line.context.as_deref()) {
            return Ok(delta);
        }
        for update in line.updates {
            self.read_update(update, now, &mut delta);
        }
        Ok(delta)
    }

    /// Whether `context` is this boat. Without a context it is; ids may come with or without the
    /// prefix `vessels.`.
    fn is_own(&self, context: Option<&str>) -> bool {
        let Some(context) = context else {
            return true;
        };
        let id = |text: &'_ str| text.strip_prefix("vessels.").unwrap_or(text).to_owned();
        let context = id(context);
        context == "self" || self.own.as_deref().map(id) == Some(context)
    }

    fn read_update(&mut self, update: Update, now: MonotonicTimestamp, delta: &mut Delta) {
        let source = update.source.unwrap_or_else(|| "signalk".into());
        let mut result = NavUpdate::default();
        let mut position = None;
        for PathValue { path, value } in update.values {
            let Some(path) = Path::parse(&path) else {
                continue;
            };
            delta.is_read = true;
            if !self.is_fresh(&source, path, update.timestamp.as_deref()) {
                continue;
            }
            if path == Path::Position {
                position = Some(value);
            } else if self
                .read_value(&source, path, &value, now, &mut result)
                .is_err()
            {
                delta.malformed = true;
            }
        }
        // After the other values: the quality may follow the position.
        if let Some(value) = position {
            match read_position(&value, self.quality(&source, now)) {
                Ok(position) => result.position = Some(position),
                Err(InvalidValue) => delta.malformed = true,
            }
        }
        if result != NavUpdate::default() {
            delta.reports.push(Report {
                source,
                update: result,
            });
        }
    }

    /// Whether a value is newer than the one before it, which is then replaced.
    fn is_fresh(&mut self, source: &str, path: Path, timestamp: Option<&str>) -> bool {
        let same = |k: &&mut Known| k.path == path && k.source == source;
        if let Some(known) = self.known.iter_mut().find(same) {
            let repeated = timestamp.is_some() && known.timestamp.as_deref() == timestamp;
            known.timestamp = timestamp.map(str::to_owned);
            return !repeated;
        }
        if self.known.len() == MAX_VALUES {
            self.known.remove(0);
        }
        self.known.push(Known {
            source: source.to_owned(),
            path,
            timestamp: timestamp.map(str::to_owned),
        });
        false
    }

    fn read_value(
        &mut self,
        source: &str,
        path: Path,
        value: &Value,
        now: MonotonicTimestamp,
        update: &mut NavUpdate,
    ) -> Result<(), InvalidValue> {
        if value.is_null() {
            // The value is not available.
            if path == Path::Quality {
                self.qualities.retain(|q| q.source != source);
            }
            return Ok(());
        }
        match path {
            Path::Position => {}
            Path::Time => update.time = Some(read_time(value)),
            Path::Speed => {
                let knots = number(value)? / KNOT;
                update.speed = Some(in_range(Some(knots as f32), MAX_SPEED).ok_or(InvalidValue)?);
            }
            Path::Course => update.course = Some(degrees(value)?),
            Path::Heading => update.heading = Some(degrees(value)?),
            Path::Quality => {
                let quality = read_quality(value)?;
                self.state_quality(source, quality, now);
                if quality.is_none() {
                    update.position = Some(ReportedPosition::NoFix);
                }
            }
            Path::Satellites => {
                let count = value.as_u64().and_then(|n| u8::try_from(n).ok());
                update.satellites = Some(count.ok_or(InvalidValue)?);
            }
            Path::Hdop => {
                let hdop = in_range(Some(number(value)? as f32), MAX_HDOP);
                update.hdop = Some(hdop.ok_or(InvalidValue)?);
            }
        }
        Ok(())
    }

    fn state_quality(&mut self, source: &str, quality: Option<FixQuality>, at: MonotonicTimestamp) {
        self.qualities.retain(|q| q.source != source);
        if self.qualities.len() == MAX_VALUES {
            self.qualities.remove(0);
        }
        self.qualities.push(StatedQuality {
            source: source.to_owned(),
            quality,
            at,
        });
    }

    /// The quality that a source states now; `None` where it states none.
    fn quality(&self, source: &str, now: MonotonicTimestamp) -> Option<Option<FixQuality>> {
        let stated = self.qualities.iter().find(|q| q.source == source)?;
        (stated.at.abs_diff(now) <= QUALITY_HOLD).then_some(stated.quality)
    }
}

/// A position of a source that states `quality`.
fn read_position(
    value: &Value,
    quality: Option<Option<FixQuality>>,
) -> Result<ReportedPosition, InvalidValue> {
    if quality == Some(None) || value.is_null() {
        return Ok(ReportedPosition::NoFix);
    }
    let value = value.as_object().ok_or(InvalidValue)?;
    let degrees = |key: &str| value.get(key).unwrap_or(&Value::Null);
    let (latitude, longitude) = (degrees("latitude"), degrees("longitude"));
    if latitude.is_null() && longitude.is_null() {
        return Ok(ReportedPosition::NoFix);
    }
    let (latitude, longitude) = (number(latitude)?, number(longitude)?);
    Ok(ReportedPosition::at(latitude, longitude, quality.flatten()))
}

/// The time of the satellites, or of a receiver's own clock: unconfirmed unless its source has a fix.
fn read_time(value: &Value) -> ReportedTime {
    value
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map_or(ReportedTime::Unreadable, |utc| {
            ReportedTime::Unconfirmed(Timestamp(utc.as_millisecond()))
        })
}

fn read_quality(value: &Value) -> Result<Option<FixQuality>, InvalidValue> {
    let text = value.as_str().ok_or(InvalidValue)?;
    // Servers differ in their capitals.
    Ok(Some(match text.to_ascii_lowercase().as_str() {
        "no gps" | "no gnss" | "error" => return Ok(None),
        "gnss fix" | "precise gnss" => FixQuality::Autonomous,
        "dgnss fix" => FixQuality::Differential,
        "rtk fixed integer" => FixQuality::Rtk,
        "rtk float" => FixQuality::RtkFloat,
        "estimated (dr) mode" => FixQuality::Estimated,
        "manual input" => FixQuality::Manual,
        "simulator mode" => FixQuality::Simulated,
        _ => return Err(InvalidValue),
    }))
}

fn number(value: &Value) -> Result<f64, InvalidValue> {
    value.as_f64().ok_or(InvalidValue)
}

/// Degrees from 0 to 360 of an angle in radians, which some sources count from -π.
fn degrees(value: &Value) -> Result<f32, InvalidValue> {
    let radians = number(value)?;
    if !(-TAU..=TAU).contains(&radians) {
        return Err(InvalidValue);
    }
    Ok(radians.rem_euclid(TAU).to_degrees() as f32)
}

#[cfg(test)]
mod tests;
