//! gpsd's JSON: `{"class":"TPV","mode":3,"time":"2026-11-23T16:20:00.000Z","lat":38.5,"lon":-28.6,"speed":3.3,"track":270.0}`.

use super::nav_update::{MAX_HDOP, MAX_SPEED, NavUpdate, ReportedPosition, in_range};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;
use serde::Deserialize;

/// The command that makes gpsd report.
pub const WATCH_COMMAND: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n";
/// Metres per second in a knot.
const KNOT: f32 = 0.514_444;

/// A line that is not from gpsd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid gpsd line: {0}")]
pub struct InvalidLine(pub String);

/// The fields that are read.
#[derive(Deserialize)]
struct Line {
    class: String,
    #[serde(default)]
    mode: i64,
    #[serde(default)]
    status: i64,
    time: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    speed: Option<f32>,
    track: Option<f32>,
    heading: Option<f32>,
    hdop: Option<f32>,
    #[serde(rename = "uSat")]
    used: Option<i64>,
    satellites: Option<Vec<Satellite>>,
}

#[derive(Deserialize)]
struct Satellite {
    #[serde(default)]
    used: bool,
}

/// Parses `line`; an empty update for a class that is ignored.
///
/// # Errors
/// When it is not a line of gpsd.
pub fn parse(line: &[u8]) -> Result<NavUpdate, InvalidLine> {
    let line: Line = serde_json::from_slice(line).map_err(|e| InvalidLine(e.to_string()))?;
    Ok(match line.class.as_str() {
        "TPV" => parse_tpv(&line),
        "SKY" => parse_sky(&line),
        "ATT" => NavUpdate {
            heading: in_range(line.heading, 360.0),
            ..NavUpdate::default()
        },
        _ => NavUpdate::default(),
    })
}

fn parse_tpv(line: &Line) -> NavUpdate {
    let has_fix = line.mode >= 2;
    let quality = match line.status {
        2 => Some(FixQuality::Differential),
        3 => Some(FixQuality::Rtk),
        4 => Some(FixQuality::RtkFloat),
        5 | 6 => Some(FixQuality::Estimated),
        8 => Some(FixQuality::Simulated),
        _ => None,
    };
    let position = match line.lat.zip(line.lon).filter(|_| has_fix) {
        Some((latitude, longitude)) => ReportedPosition::at(latitude, longitude, quality),
        None => ReportedPosition::NoFix,
    };
    let time = line
        .time
        .as_deref()
        .and_then(|t| t.parse::<jiff::Timestamp>().ok());
    NavUpdate {
        time: time.map(|t| Timestamp(t.as_millisecond())),
        time_is_valid: has_fix,
        position: Some(position),
        speed: in_range(line.speed.map(|s| s / KNOT), MAX_SPEED).filter(|_| has_fix),
        course: in_range(line.track, 360.0).filter(|_| has_fix),
        ..NavUpdate::default()
    }
}

fn parse_sky(line: &Line) -> NavUpdate {
    let listed = line
        .satellites
        .as_ref()
        .map(|all| all.iter().filter(|s| s.used).count() as i64);
    NavUpdate {
        satellites: line.used.or(listed).and_then(|n| u8::try_from(n).ok()),
        hdop: in_range(line.hdop, MAX_HDOP),
        ..NavUpdate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn update(line: &str) -> NavUpdate {
        parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn tpv_has_time_position_speed_and_course() {
        let s = update(
            r#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"status":2,"time":"2026-11-23T16:20:00.250Z","ept":0.005,"lat":38.5123,"lon":-28.625,"alt":12.1,"track":270.0,"speed":3.343886,"climb":0.0}"#,
        );
        assert_eq!(
            (s.time, s.time_is_valid),
            (Some(Timestamp(1_795_450_800_250)), true)
        );
        let position = ReportedPosition::At {
            latitude: 38.5123,
            longitude: -28.625,
            quality: Some(FixQuality::Differential),
        };
        assert_eq!((s.position, s.course), (Some(position), Some(270.0)));
        assert!((s.speed.unwrap() - 6.5).abs() < 1e-4, "{:?}", s.speed);
    }

    #[test]
    fn without_a_fix_there_is_no_position() {
        for mode in [0, 1] {
            let s = update(&format!(
                r#"{{"class":"TPV","mode":{mode},"time":"2026-11-23T16:20:00Z","lat":1.0,"lon":2.0,"speed":1.0}}"#
            ));
            assert_eq!(
                (s.position, s.time_is_valid, s.speed),
                (Some(ReportedPosition::NoFix), false, None)
            );
        }
    }

    #[test]
    fn sky_and_att_add_to_it() {
        let s = update(
            r#"{"class":"SKY","hdop":0.9,"satellites":[{"PRN":1,"used":true},{"PRN":2,"used":false},{"PRN":3,"used":true}]}"#,
        );
        assert_eq!(
            (s.satellites, s.hdop, s.position),
            (Some(2), Some(0.9), None)
        );
        assert_eq!(
            update(r#"{"class":"SKY","uSat":11,"hdop":1.1}"#).satellites,
            Some(11)
        );
        assert_eq!(
            update(r#"{"class":"ATT","heading":12.5}"#).heading,
            Some(12.5)
        );
        assert_eq!(
            update(r#"{"class":"VERSION","release":"3.25"}"#),
            NavUpdate::default()
        );
    }

    #[test]
    fn invalid_lines_are_rejected() {
        for line in [
            "",
            "$GPRMC,",
            "[1]",
            "{}",
            r#"{"class":"TPV","lat":"north"}"#,
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        let nowhere =
            update(r#"{"class":"TPV","mode":3,"lat":1e300,"lon":5.0,"speed":-1.0,"track":1e9}"#);
        assert_eq!(
            (nowhere.position, nowhere.speed, nowhere.course),
            (Some(ReportedPosition::NoFix), None, None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_rejected(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn any_numbers_give_a_valid_position(lat in any::<f64>(), lon in any::<f64>(), speed in any::<f32>(), mode in -3i64..9) {
            let line = serde_json::json!({"class": "TPV", "mode": mode, "lat": lat, "lon": lon, "speed": speed});
            if let Ok(NavUpdate { position: Some(ReportedPosition::At { latitude, longitude, .. }), .. }) = parse(line.to_string().as_bytes()) {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
        }
    }
}
