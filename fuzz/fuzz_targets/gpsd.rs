//! Lines of gpsd.
#![no_main]

use flukewatch_edge::position::{Lines, gpsd};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Lines::default().push(bytes, |line| {
        let _ = gpsd::parse(line);
    });
});
