//! The delta stream of a Signal K server, line by line.
#![no_main]

use flukewatch_edge::position::Protocol;
use flukewatch_fuzz::{receiver, seeds};

const HELLO: &[u8] = br#"{"name":"signalk-server","version":"2.19.1","self":"vessels.urn:mrn:imo:mmsi:263403470","timestamp":"2026-11-23T16:19:58.000Z"}"#;
const OTHER: &[u8] = br#"{"context":"vessels.urn:mrn:imo:mmsi:230029970","updates":[{"values":[{"path":"navigation.position","value":{"latitude":38.4,"longitude":-28.7}}]}]}"#;
const NO_FIX: &[u8] = br#"{"context":"vessels.self","updates":[{"$source":"nmea.GP","timestamp":"2026-11-23T16:20:03Z","values":[{"path":"navigation.gnss.methodQuality","value":"no GPS"},{"path":"navigation.position","value":null}]}]}"#;

/// A delta with all values that are read, so many seconds after 16:20.
fn delta(second: u32) -> Vec<u8> {
    format!(
        r#"{{"context":"vessels.urn:mrn:imo:mmsi:263403470","updates":[{{"$source":"n2k.43","timestamp":"2026-11-23T16:20:{second:02}.250Z","values":[{{"path":"navigation.position","value":{{"latitude":38.5123,"longitude":-28.625}}}},{{"path":"navigation.datetime","value":"2026-11-23T16:20:{second:02}.250Z"}},{{"path":"navigation.speedOverGround","value":3.343886}},{{"path":"navigation.courseOverGroundTrue","value":4.712}},{{"path":"navigation.headingTrue","value":0.2}},{{"path":"navigation.gnss.methodQuality","value":"RTK fixed integer"}},{{"path":"navigation.gnss.satellites","value":9}},{{"path":"navigation.gnss.horizontalDilution","value":0.75}}]}}]}}"#
    )
    .into_bytes()
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let [one, two, three] = [1, 2, 3].map(delta);
            let all = [HELLO, &one, &two, OTHER, NO_FIX, NO_FIX, &three].join(b"\n".as_slice());
            let twice = [HELLO, &one, &two].join(b"\n".as_slice());
            [one, [HELLO, OTHER].join(b"\n".as_slice()), twice, all]
        });
    },
    |bytes: &[u8]| {
        receiver::receive(Protocol::SignalK, bytes);
    }
);
