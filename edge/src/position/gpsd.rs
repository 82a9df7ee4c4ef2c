//! gpsd's JSON: `{"class":"TPV","mode":3,"time":"2026-11-23T16:20:00.000Z","lat":38.5,"lon":-28.6,"speed":3.3,"track":270.0}`.

use super::heard::{FASTEST, Heard, Place, WORST_HDOP, sensible};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;
use serde::Deserialize;

/// What gpsd must be told before it says anything.
pub const WATCH: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n";
/// Metres a second in a knot.
const KNOT: f32 = 0.514_444;

/// A line that is none of gpsd's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no line of gpsd's: {0}")]
pub struct NotGpsd(pub String);

/// What is read of a line; the rest is passed over.
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

/// What `line` says; nothing where it is of a class that is passed over.
///
/// # Errors
/// When it is no line of gpsd's.
pub fn parse(line: &[u8]) -> Result<Heard, NotGpsd> {
    let line: Line = serde_json::from_slice(line).map_err(|e| NotGpsd(e.to_string()))?;
    Ok(match line.class.as_str() {
        "TPV" => position(&line),
        "SKY" => sky(&line),
        "ATT" => Heard {
            heading: sensible(line.heading, 360.0),
            ..Heard::default()
        },
        _ => Heard::default(),
    })
}

fn position(line: &Line) -> Heard {
    let known = line.mode >= 2;
    let quality = match line.status {
        2 => Some(FixQuality::Differential),
        3 => Some(FixQuality::Rtk),
        4 => Some(FixQuality::RtkFloat),
        5 | 6 => Some(FixQuality::Estimated),
        8 => Some(FixQuality::Simulated),
        _ => None,
    };
    let place = match line.lat.zip(line.lon).filter(|_| known) {
        Some((latitude, longitude)) => Place::at(latitude, longitude, quality),
        None => Place::Unknown,
    };
    let time = line
        .time
        .as_deref()
        .and_then(|t| t.parse::<jiff::Timestamp>().ok());
    Heard {
        time: time.map(|t| Timestamp(t.as_millisecond())),
        time_is_checked: known,
        place: Some(place),
        speed: sensible(line.speed.map(|s| s / KNOT), FASTEST).filter(|_| known),
        course: sensible(line.track, 360.0).filter(|_| known),
        ..Heard::default()
    }
}

fn sky(line: &Line) -> Heard {
    let listed = line
        .satellites
        .as_ref()
        .map(|all| all.iter().filter(|s| s.used).count() as i64);
    Heard {
        satellites: line.used.or(listed).and_then(|n| u8::try_from(n).ok()),
        hdop: sensible(line.hdop, WORST_HDOP),
        ..Heard::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(line: &str) -> Heard {
        parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn tpv_gives_time_place_speed_and_course() {
        let s = heard(
            r#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"status":2,"time":"2026-11-23T16:20:00.250Z","ept":0.005,"lat":38.5123,"lon":-28.625,"alt":12.1,"track":270.0,"speed":3.343886,"climb":0.0}"#,
        );
        assert_eq!(
            (s.time, s.time_is_checked),
            (Some(Timestamp(1_795_450_800_250)), true)
        );
        let place = Place::At {
            latitude: 38.5123,
            longitude: -28.625,
            quality: Some(FixQuality::Differential),
        };
        assert_eq!((s.place, s.course), (Some(place), Some(270.0)));
        assert!((s.speed.unwrap() - 6.5).abs() < 1e-4, "{:?}", s.speed);
    }

    #[test]
    fn without_a_fix_nothing_is_invented() {
        for mode in [0, 1] {
            let s = heard(&format!(
                r#"{{"class":"TPV","mode":{mode},"time":"2026-11-23T16:20:00Z","lat":1.0,"lon":2.0,"speed":1.0}}"#
            ));
            assert_eq!(
                (s.place, s.time_is_checked, s.speed),
                (Some(Place::Unknown), false, None)
            );
        }
    }

    #[test]
    fn sky_and_att_add_to_it() {
        let s = heard(
            r#"{"class":"SKY","hdop":0.9,"satellites":[{"PRN":1,"used":true},{"PRN":2,"used":false},{"PRN":3,"used":true}]}"#,
        );
        assert_eq!((s.satellites, s.hdop, s.place), (Some(2), Some(0.9), None));
        assert_eq!(
            heard(r#"{"class":"SKY","uSat":11,"hdop":1.1}"#).satellites,
            Some(11)
        );
        assert_eq!(
            heard(r#"{"class":"ATT","heading":12.5}"#).heading,
            Some(12.5)
        );
        assert_eq!(
            heard(r#"{"class":"VERSION","release":"3.25"}"#),
            Heard::default()
        );
    }

    #[test]
    fn what_is_none_of_gpsd_s_is_refused() {
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
            heard(r#"{"class":"TPV","mode":3,"lat":1e300,"lon":5.0,"speed":-1.0,"track":1e9}"#);
        assert_eq!(
            (nowhere.place, nowhere.speed, nowhere.course),
            (Some(Place::Unknown), None, None)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn any_numbers_are_read_and_make_sense(lat in any::<f64>(), lon in any::<f64>(), speed in any::<f32>(), mode in -3i64..9) {
            let line = serde_json::json!({"class": "TPV", "mode": mode, "lat": lat, "lon": lon, "speed": speed});
            if let Ok(Heard { place: Some(Place::At { latitude, longitude, .. }), .. }) = parse(line.to_string().as_bytes()) {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
        }
    }
}
