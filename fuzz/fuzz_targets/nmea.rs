//! The bytes of a serial device: each line, and each line with a valid checksum.
#![no_main]

use flukewatch_edge::position::sentence;
use flukewatch_fuzz::{receiver, seeds};

const SENTENCES: &str = "\
GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A
GNGGA,162000.00,3830.7380,N,02837.5000,W,2,09,0.75,12.0,M,54.0,M,,
GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,D
GPZDA,162000.00,23,11,2026,00,00
HEHDT,123.4,T
GPRMC,162001.00,V,,,,,,,231126,,,N
";

fn sound(content: &[u8]) -> Vec<u8> {
    let sum = content.iter().fold(0, |sum, byte| sum ^ byte);
    [b"$", content, format!("*{sum:02X}").as_bytes()].concat()
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let sent: Vec<Vec<u8>> = SENTENCES.lines().map(|l| sound(l.as_bytes())).collect();
            let tagged = [br"\s:gps1,c:1795450800*5A\".as_slice(), &sent[0]].concat();
            [
                SENTENCES.as_bytes().to_vec(),
                sent.join(b"\r\n".as_slice()),
                tagged,
                SENTENCES.lines().next().unwrap_or_default().repeat(4).into_bytes(),
            ]
        });
    },
    |bytes: &[u8]| {
        receiver::receive(bytes, |line| {
            [sentence::parse(line), sentence::parse(&sound(line))]
                .into_iter()
                .flatten()
                .collect()
        });
    }
);
