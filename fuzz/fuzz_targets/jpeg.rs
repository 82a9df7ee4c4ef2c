//! A camera's JPEG, in colour and in grey.
#![no_main]

use flukewatch_edge::pixels::jpeg::decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for grey in [false, true] {
        let _ = decode(bytes, grey, vec![], &mut vec![]);
    }
});
