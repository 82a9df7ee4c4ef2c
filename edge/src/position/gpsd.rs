//! gpsd's JSON: `{"class":"TPV","mode":3,"time":"2026-11-23T16:20:00.000Z","lat":38.5,"lon":-28.6,"speed":3.3,"track":270.0}`.

use super::nav_update::{MAX_HDOP, MAX_SPEED, NavUpdate, ReportedPosition, ReportedTime, in_range};
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
pub(super) struct InvalidLine(pub String);

/// The fields that are read, of the classes that are read.
#[derive(Deserialize)]
#[serde(tag = "class")]
enum Line {
    #[serde(rename = "TPV")]
    TimePositionVelocity(TimePositionVelocity),
    #[serde(rename = "SKY")]
    Sky(Sky),
    #[serde(rename = "ATT")]
    Attitude(Attitude),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct TimePositionVelocity {
    device: Option<String>,
    #[serde(default)]
    mode: i64,
    status: Option<i64>,
    time: Option<String>,
    lat: Option<f64>,
    lon: Option<f64>,
    speed: Option<f32>,
    track: Option<f32>,
}

#[derive(Deserialize)]
struct Sky {
    device: Option<String>,
    hdop: Option<f32>,
    #[serde(rename = "uSat")]
    used: Option<i64>,
    satellites: Option<Vec<Satellite>>,
}

#[derive(Deserialize)]
struct Attitude {
    device: Option<String>,
    heading: Option<f32>,
}

#[derive(Deserialize)]
struct Satellite {
    #[serde(default)]
    used: bool,
}

/// A report of one of gpsd's devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// The device, e.g. `/dev/ttyUSB0`; `gpsd` where it is not named.
    pub(super) device: String,
    /// What it reports.
    pub(super) update: NavUpdate,
}

/// Parses `line`; `None` for a class that is ignored.
///
/// # Errors
/// When it is not a line of gpsd.
pub(super) fn parse(line: &[u8]) -> Result<Option<Report>, InvalidLine> {
    let line: Line = serde_json::from_slice(line).map_err(|e| InvalidLine(e.to_string()))?;
    let (device, update) = match line {
        Line::TimePositionVelocity(tpv) => (tpv.device.clone(), parse_tpv(&tpv)),
        Line::Sky(sky) => (sky.device.clone(), parse_sky(&sky)),
        Line::Attitude(attitude) => {
            let update = NavUpdate {
                heading: in_range(attitude.heading, 360.0),
                ..NavUpdate::default()
            };
            (attitude.device, update)
        }
        Line::Other => return Ok(None),
    };
    Ok(Some(Report {
        device: device.unwrap_or_else(|| "gpsd".into()),
        update,
    }))
}

fn parse_tpv(tpv: &TimePositionVelocity) -> NavUpdate {
    let has_fix = tpv.mode >= 2;
    let quality = match tpv.status {
        Some(2) => Some(FixQuality::Differential),
        Some(3) => Some(FixQuality::Rtk),
        Some(4) => Some(FixQuality::RtkFloat),
        Some(5 | 6) => Some(FixQuality::Estimated),
        Some(8) => Some(FixQuality::Simulated),
        _ => Some(FixQuality::Autonomous),
    };
    let position = match tpv.lat.zip(tpv.lon).filter(|_| has_fix) {
        Some((latitude, longitude)) => ReportedPosition::at(latitude, longitude, quality),
        None => ReportedPosition::NoFix,
    };
    let time = tpv.time.as_deref().map(|text| {
        text.parse::<jiff::Timestamp>()
            .map_or(ReportedTime::Unreadable, |utc| {
                ReportedTime::Confirmed(Timestamp(utc.as_millisecond()))
            })
    });
    NavUpdate {
        time: time.filter(|_| has_fix),
        position: Some(position),
        speed: in_range(tpv.speed.map(|s| s / KNOT), MAX_SPEED).filter(|_| has_fix),
        course: in_range(tpv.track, 360.0).filter(|_| has_fix),
        ..NavUpdate::default()
    }
}

fn parse_sky(sky: &Sky) -> NavUpdate {
    let listed = sky
        .satellites
        .as_ref()
        .map(|all| all.iter().filter(|s| s.used).count() as i64);
    NavUpdate {
        satellites: sky.used.or(listed).and_then(|n| u8::try_from(n).ok()),
        hdop: in_range(sky.hdop, MAX_HDOP),
        ..NavUpdate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn update(line: &str) -> NavUpdate {
        parse(line.as_bytes()).unwrap().unwrap().update
    }

    #[test]
    fn tpv_has_time_position_speed_and_course() {
        let s = update(
            r#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"status":2,"time":"2026-11-23T16:20:00.250Z","ept":0.005,"lat":38.5123,"lon":-28.625,"alt":12.1,"track":270.0,"speed":3.343886,"climb":0.0}"#,
        );
        let time = ReportedTime::Confirmed(Timestamp(1_795_450_800_250));
        assert_eq!(s.time, Some(time));
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
                (s.position, s.time, s.speed),
                (Some(ReportedPosition::NoFix), None, None)
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
    }

    #[test]
    fn other_classes_are_ignored_whatever_they_hold() {
        for line in [
            r#"{"class":"VERSION","release":"3.25"}"#,
            r#"{"class":"AIS","type":1,"status":"Under way using engine","speed":"fast","lat":1,"device":5}"#,
            r#"{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/ttyUSB0"}]}"#,
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(None), "{line}");
        }
    }

    #[test]
    fn the_device_is_named() {
        let device = |line: &str| parse(line.as_bytes()).unwrap().unwrap().device;
        assert_eq!(
            device(r#"{"class":"TPV","device":"/dev/ttyUSB0","mode":1}"#),
            "/dev/ttyUSB0"
        );
        assert_eq!(device(r#"{"class":"SKY"}"#), "gpsd");
    }

    #[test]
    fn an_unreadable_time_keeps_the_position() {
        let s = update(r#"{"class":"TPV","mode":3,"time":"yesterday","lat":1.0,"lon":2.0}"#);
        assert_eq!(s.time, Some(ReportedTime::Unreadable));
        assert!(matches!(s.position, Some(ReportedPosition::At { .. })));
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
            let update = parse(line.to_string().as_bytes()).ok().flatten().map(|r| r.update);
            if let Some(NavUpdate { position: Some(ReportedPosition::At { latitude, longitude, .. }), .. }) = update {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
        }
    }
}
