//! The file beside an image that holds the boxes of its flukes.
#![no_main]

use flukewatch_common::sidecar::Sidecar;
use flukewatch_fuzz::seeds;
use std::path::Path;

const WHOLE: &str = r#"{"boxes":[{"x0":10,"y0":40,"x1":630,"y1":260}],"camera":"bow"}"#;
const FRACTIONS: &str =
    r#"{"boxes":[{"x0":10.36,"y0":-0.0,"x1":6.3e2,"y1":259.99},{"x0":0,"y0":0,"x1":1,"y1":1}]}"#;
const SEA: &str = "\u{feff}{\r\n  \"boxes\": []\r\n}\r\n";

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let utf16: Vec<u8> = WHOLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
            [WHOLE.into(), FRACTIONS.into(), SEA.into(), utf16]
        });
    },
    |bytes: &[u8]| match Sidecar::parse(bytes, Path::new("7.json")) {
        Ok(sidecar) => {
            assert!(sidecar.boxes.iter().all(|b| b.x0 < b.x1 && b.y0 < b.y1));
            let written = serde_json::to_vec(&sidecar).expect("boxes are plain numbers");
            assert_eq!(Sidecar::parse(&written, Path::new("7.json")).ok(), Some(sidecar));
        }
        Err(e) => assert!(e.to_string().starts_with("sidecar 7.json")),
    }
);
