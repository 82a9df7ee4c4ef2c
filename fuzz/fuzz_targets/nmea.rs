//! Bytes of a serial line: lines of them, and each line with the checksum that it should have.
#![no_main]

use flukewatch_edge::position::{Lines, sentence};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Lines::default().push(bytes, |line| {
        let _ = sentence::parse(line);
        let sum = line.iter().fold(0, |sum, byte| sum ^ byte);
        let _ = sentence::parse(&[b"$", line, format!("*{sum:02X}").as_bytes()].concat());
    });
});
