//! A camera's JPEG in RGB, in grey and as luma; and the same bytes as an image file.
#![no_main]

use flukewatch_common::prepare;
use flukewatch_edge::pixels::jpeg::{decode, decode_grey};
use flukewatch_fuzz::seeds;

const BASELINE: &[u8] = include_bytes!("../seeds/baseline.jpg");
const HALVED: &[u8] = include_bytes!("../seeds/halved.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../seeds/progressive.jpg");
const GREY: &[u8] = include_bytes!("../seeds/grey.jpg");
const RESTARTED: &[u8] = include_bytes!("../seeds/restarted.jpg");

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [BASELINE, HALVED, PROGRESSIVE, GREY, RESTARTED].map(<[u8]>::to_vec));
    },
    |bytes: &[u8]| {
        let (mut luma, mut scratch) = (vec![], vec![]);
        let size = decode_grey(bytes, &mut luma, &mut scratch);
        let grey = decode(bytes, true, vec![], &mut scratch);
        assert_eq!(size, grey.as_ref().map(|g| g.dimensions()).map_err(Clone::clone));
        if let Ok(grey) = &grey {
            assert!(grey.pixels().zip(&luma).all(|(p, l)| p.0 == [*l; 3]));
        }
        if let (Ok(colour), Ok(grey)) = (decode(bytes, false, vec![], &mut scratch), grey) {
            assert_eq!(colour.dimensions(), grey.dimensions());
        }
        let _ = prepare::decode(bytes);
    }
);
