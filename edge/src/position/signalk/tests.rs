use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::f64::consts::PI;

const HELLO: &str = r#"{"name":"signalk-server","version":"2.19.1","self":"vessels.urn:mrn:imo:mmsi:263403470","roles":["master","main"],"timestamp":"2026-11-23T16:19:58.000Z"}"#;
const OWN: &str = "vessels.urn:mrn:imo:mmsi:263403470";

fn at(seconds: i64) -> MonotonicTimestamp {
    MonotonicTimestamp::from_millis(seconds * 1000)
}

/// A delta of this boat's source `n2k.43`, `second` seconds after 16:20.
fn delta(second: u32, values: Value) -> String {
    from("n2k.43", second, values)
}

fn from(source: &str, second: u32, values: Value) -> String {
    let values: Vec<Value> = values
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, value)| json!({"path": format!("navigation.{path}"), "value": value}))
        .collect();
    json!({
        "context": OWN,
        "updates": [{
            "$source": source,
            "timestamp": format!("2026-11-23T16:20:{second:02}.000Z"),
            "values": values,
        }],
    })
    .to_string()
}

/// A connection that has received the hello message.
fn greeted() -> Stream {
    let mut stream = Stream::default();
    assert_eq!(stream.read(HELLO.as_bytes(), at(0)), Ok(Delta::default()));
    stream
}

/// What the second of two deltas with these values reports.
fn update(values: Value) -> NavUpdate {
    let mut stream = greeted();
    let first = stream.read(delta(1, values.clone()).as_bytes(), at(1));
    assert!(first.unwrap().reports.is_empty(), "the first is not used");
    let second = stream.read(delta(2, values).as_bytes(), at(2)).unwrap();
    assert!(second.is_read && !second.malformed, "{second:?}");
    let report = second.reports.first().cloned().unwrap();
    assert_eq!(report.source, "n2k.43");
    report.update
}

fn here() -> Value {
    json!({"latitude": 38.5123, "longitude": -28.625, "altitude": 3.0})
}

fn position(quality: Option<FixQuality>) -> ReportedPosition {
    ReportedPosition::At {
        latitude: 38.5123,
        longitude: -28.625,
        quality,
    }
}

#[test]
fn the_subscription_names_the_paths_that_are_read() {
    let text: Value = serde_json::from_slice(SUBSCRIPTION).unwrap();
    assert_eq!(text["context"], "vessels.self");
    for row in text["subscribe"].as_array().unwrap() {
        assert_eq!(row["policy"], "instant");
        let path = row["path"].as_str().unwrap();
        assert!(
            Path::parse(&path.replace('*', "satellites")).is_some(),
            "{path}"
        );
    }
    assert!(SUBSCRIPTION.ends_with(b"\r\n"));
}

#[test]
fn values_are_converted_from_si_units() {
    let u = update(json!({
        "position": here(),
        "datetime": "2026-11-23T16:20:00.250Z",
        "speedOverGround": 3.343_886,
        "courseOverGroundTrue": 1.5 * PI,
        "headingTrue": -PI / 2.0,
        "gnss.satellites": 9,
        "gnss.horizontalDilution": 0.75,
        "gnss.type": "Combined GPS/GLONASS",
    }));
    assert_eq!(u.position, Some(position(None)));
    let time = ReportedTime::Unconfirmed(Timestamp(1_795_450_800_250));
    assert_eq!(u.time, Some(time));
    let close = |value: Option<f32>, expected: f32| (value.unwrap() - expected).abs() < 1e-3;
    assert!(close(u.speed, 6.5) && close(u.course, 270.0) && close(u.heading, 270.0));
    assert_eq!((u.satellites, u.hdop), (Some(9), Some(0.75)));
}

#[test]
fn what_a_server_remembers_is_not_used() {
    let mut stream = greeted();
    let mut read = |second, seconds| {
        let line = delta(second, json!({"position": here(), "headingTrue": 1.0}));
        stream.read(line.as_bytes(), at(seconds)).unwrap().reports
    };
    assert!(read(1, 1).is_empty(), "perhaps of yesterday");
    assert!(read(1, 2).is_empty(), "the same again");
    assert_eq!(read(2, 3).len(), 1);
    assert!(read(2, 4).is_empty());
    // Another source starts over.
    let other = from("nmea.GP", 3, json!({"position": here()}));
    assert!(
        stream
            .read(other.as_bytes(), at(5))
            .unwrap()
            .reports
            .is_empty()
    );
}

#[test]
fn the_quality_belongs_to_its_source_for_a_while() {
    let mut stream = greeted();
    for second in [1, 2] {
        for (source, quality) in [("n2k.43", "RTK fixed integer"), ("nmea.GP", "no GPS")] {
            let values = json!({"gnss.methodQuality": quality, "position": here()});
            let line = from(source, second, values);
            stream.read(line.as_bytes(), at(2)).unwrap();
        }
    }
    let mut read = |source, second, seconds| {
        let line = from(source, second, json!({"position": here()}));
        let delta = stream.read(line.as_bytes(), at(seconds)).unwrap();
        delta.reports[0].update.position
    };
    let rtk = position(Some(FixQuality::Rtk));
    assert_eq!(read("n2k.43", 3, 3), Some(rtk));
    assert_eq!(read("nmea.GP", 3, 3), Some(ReportedPosition::NoFix));
    assert_eq!(read("n2k.43", 4, 13), Some(position(None)), "not repeated");
    assert_eq!(read("nmea.GP", 4, 13), Some(position(None)));
}

#[test]
fn a_source_without_a_fix_has_no_position() {
    for values in [
        json!({"position": null}),
        json!({"position": {"latitude": null, "longitude": null}}),
        json!({"position": {"latitude": 0, "longitude": 0}}),
        json!({"position": {"latitude": 91.0, "longitude": 5.0}}),
        json!({"position": here(), "gnss.methodQuality": "no GPS"}),
        json!({"gnss.methodQuality": "Error"}),
    ] {
        let found = update(values.clone()).position;
        assert_eq!(found, Some(ReportedPosition::NoFix), "{values}");
    }
}

#[test]
fn other_vessels_and_other_paths_are_ignored() {
    let position = json!([{"path": "navigation.position", "value": here()}]);
    let from = |context: &str, second: u32| {
        json!({
            "context": context,
            "updates": [{"$source": "ais", "timestamp": second.to_string(), "values": position}],
        })
        .to_string()
    };
    let reports = |stream: &mut Stream, context: &str| {
        (0..3)
            .map(|n| stream.read(from(context, n).as_bytes(), at(0)).unwrap())
            .map(|delta| delta.reports.len())
            .sum::<usize>()
    };
    let mut stream = greeted();
    assert_eq!(
        reports(&mut stream, "vessels.urn:mrn:imo:mmsi:230029970"),
        0
    );
    assert_eq!(reports(&mut stream, "atons.urn:mrn:imo:mmsi:992301234"), 0);
    assert_eq!(reports(&mut stream, "vessels.self"), 2);
    assert_eq!(reports(&mut greeted(), "urn:mrn:imo:mmsi:263403470"), 2);
    assert_eq!(reports(&mut Stream::default(), OWN), 0, "whose is unknown");
    let depth = delta(1, json!({"magneticVariation": 0.1}));
    assert_eq!(stream.read(depth.as_bytes(), at(0)), Ok(Delta::default()));
    let meta = json!({"context": OWN, "updates": [{"meta": [{"path": "navigation.position"}]}]});
    let meta = stream.read(meta.to_string().as_bytes(), at(0));
    assert_eq!(meta, Ok(Delta::default()));
}

#[test]
fn a_delta_without_context_source_and_timestamp_is_this_boat_s() {
    let line = json!({"updates": [{"values": [{"path": "navigation.position", "value": here()}]}]});
    let line = line.to_string();
    let mut stream = Stream::default();
    assert!(
        stream
            .read(line.as_bytes(), at(0))
            .unwrap()
            .reports
            .is_empty()
    );
    let delta = stream.read(line.as_bytes(), at(1)).unwrap();
    assert_eq!(delta.reports[0].source, "signalk");
}

#[test]
fn invalid_values_are_malformed_and_cost_no_other() {
    for (path, value) in [
        ("position", json!("north")),
        ("position", json!({"latitude": 38.5})),
        ("position", json!({"latitude": "38.5", "longitude": 1.0})),
        ("speedOverGround", json!(-1.0)),
        ("speedOverGround", json!(1e300)),
        ("courseOverGroundTrue", json!(270.0)),
        ("headingTrue", json!("1")),
        ("gnss.methodQuality", json!("excellent")),
        ("gnss.satellites", json!(-3)),
        ("gnss.satellites", json!(300)),
        ("gnss.horizontalDilution", json!(1e9)),
    ] {
        let mut stream = greeted();
        let mut values = json!({"gnss.antennaAltitude": 1.0});
        values[path] = value.clone();
        let other = if path == "headingTrue" {
            "courseOverGroundTrue"
        } else {
            "headingTrue"
        };
        values[other] = json!(PI);
        stream
            .read(delta(1, values.clone()).as_bytes(), at(1))
            .unwrap();
        let delta = stream.read(delta(2, values).as_bytes(), at(2)).unwrap();
        assert!(delta.malformed, "{path}: {value}");
        let update = delta.reports[0].update;
        assert_eq!(update.heading.or(update.course), Some(180.0), "{path}");
        assert_eq!(update.position, None, "{path}: {value}");
    }
    let time = update(json!({"datetime": "yesterday"})).time;
    assert_eq!(time, Some(ReportedTime::Unreadable));
}

#[test]
fn lines_of_others_are_rejected() {
    for line in [
        "HTTP/1.1 400 Bad Request",
        "$GPRMC,",
        "[]",
        "{}",
        "{\"class\":\"VERSION\"}",
        "{\"updates\":[{\"values\":[{}]}]}",
    ] {
        assert!(greeted().read(line.as_bytes(), at(0)).is_err(), "{line}");
    }
}

#[test]
fn memory_is_bounded() {
    let mut stream = greeted();
    for number in 0..2000 {
        for second in [1, 2] {
            let values = json!({"gnss.methodQuality": "GNSS Fix"});
            let line = from(&number.to_string(), second, values);
            stream.read(line.as_bytes(), at(0)).unwrap();
        }
    }
    assert!(stream.known.len() <= MAX_VALUES && stream.qualities.len() <= MAX_VALUES);
}

/// Any JSON, with the keys of a delta in it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            OWN,
            "self",
            "no GPS",
            "2026-11-23T16:20:00Z",
            "navigation."
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "context",
        "updates",
        "values",
        "path",
        "value",
        "$source",
        "timestamp",
        "self",
        "latitude",
        "longitude",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(String::from), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_rejected(line in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = greeted().read(&line, at(0));
    }

    #[test]
    fn any_json_is_read_or_rejected(lines in prop::collection::vec(any_json(), 1..4)) {
        let mut stream = greeted();
        for line in lines {
            let _ = stream.read(line.to_string().as_bytes(), at(0));
        }
    }

    #[test]
    fn any_value_of_a_path_gives_a_valid_update(
        path in prop::sample::select(vec![
            "position", "datetime", "speedOverGround", "courseOverGroundTrue", "headingTrue",
            "gnss.methodQuality", "gnss.satellites", "gnss.horizontalDilution",
        ]),
        value in prop_oneof![
            any_json(),
            any::<f64>().prop_map(Value::from),
            (any::<f64>(), any::<f64>())
                .prop_map(|(y, x)| json!({"latitude": y, "longitude": x})),
        ],
    ) {
        let mut stream = greeted();
        for second in 1..=2 {
            let line = delta(second, json!({path: value}));
            for report in stream.read(line.as_bytes(), at(0)).unwrap().reports {
                let u = report.update;
                if let Some(ReportedPosition::At { latitude, longitude, .. }) = u.position {
                    prop_assert!((-90.0..=90.0).contains(&latitude));
                    prop_assert!((-180.0..=180.0).contains(&longitude));
                }
                for angle in [u.course, u.heading].into_iter().flatten() {
                    prop_assert!((0.0..=360.0).contains(&angle));
                }
                prop_assert!(u.speed.is_none_or(|s| (0.0..=MAX_SPEED).contains(&s)));
            }
        }
    }
}
