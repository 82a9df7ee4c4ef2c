//! The output of gpsd, line by line.
#![no_main]

use flukewatch_edge::position::Protocol;
use flukewatch_fuzz::{receiver, seeds};

const TPV: &[u8] = br#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"status":2,"time":"2026-11-23T16:20:00.250Z","lat":38.5123,"lon":-28.625,"alt":12.1,"track":270.0,"speed":3.343886}"#;
const SKY: &[u8] = br#"{"class":"SKY","hdop":0.9,"uSat":2,"satellites":[{"PRN":1,"used":true},{"PRN":2,"used":false}]}"#;
const ATT: &[u8] = br#"{"class":"ATT","heading":12.5}"#;
const OTHER: &[u8] =
    br#"{"class":"TPV","device":"/dev/ttyUSB1","mode":1,"time":"2046-07-09T16:20:00Z"}"#;
const AIS: &[u8] =
    br#"{"class":"AIS","type":1,"status":"Under way using engine","speed":0.1,"lat":1.0}"#;
const VERSION: &[u8] = br#"{"class":"VERSION","release":"3.25"}"#;

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let all = [VERSION, SKY, ATT, TPV, OTHER, AIS, TPV, TPV].join(b"\n".as_slice());
            [TPV.to_vec(), SKY.to_vec(), ATT.to_vec(), all]
        });
    },
    |bytes: &[u8]| {
        receiver::receive(Protocol::Gpsd, bytes);
    }
);
