//! The bytes of a serial device: as they are, and each line as a sentence with a valid checksum.
#![no_main]

use flukewatch_edge::position::Protocol;
use flukewatch_fuzz::{receiver, seeds};

const SENTENCES: &str = "\
GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A
GNGGA,162000.00,3830.7380,N,02837.5000,W,2,09,0.75,12.0,M,54.0,M,,
GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,D
GPZDA,162000.00,23,11,2026,00,00
HEHDT,123.4,T
GPTHS,123.4,A
HCHDG,101.0,2.0,E,8.5,W
GPRMC,162001.00,V,,,,,,,231126,,,N
GPGLL,3830.7380,N,02837.5000,W,162000.00,A,D
GNGNS,162000.00,3830.7380,N,02837.5000,W,NDA,11,1.3,168.9,39.5,,,V
GPRMC,162000.00,A,5047.445,N,100.102,W,6.5,270.0,231126,4.3,,A
GPRMC,162000.00,A,830.738,S,1237.5,E,6.5,270.0,060180,,,A
GPRMC,,V,,N,,E,,,,,,N
GPRMC,000231.099,A,4829.0005,N,00022.0015,E,0.15,212.28,2208-1,,,A
GPGLL,36000.0000,N,72000.0000,E,000452.981,V
IIGGA,162000.00,,,,,0,09,0.75,12.0,M,54.0,M,,
GPZDA,162000.00,09,07,2046,00,00
GPRMC,235960.00,A,3760.0000,N,02837.5000,W,6.5,270.0,231126,,,A
";

fn valid(content: &[u8]) -> Vec<u8> {
    let sum = content.iter().fold(0, |sum, byte| sum ^ byte);
    [b"$", content, format!("*{sum:02X}").as_bytes()].concat()
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let sent: Vec<Vec<u8>> = SENTENCES.lines().map(|l| valid(l.as_bytes())).collect();
            let tag = b"s:gps1,c:1795450800";
            let sum = tag.iter().fold(0, |sum, byte| sum ^ byte);
            let tagged = [b"\\", tag.as_slice(), format!("*{sum:02X}\\").as_bytes(), &sent[0]].concat();
            let ais = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C".as_slice();
            let ubx = b"\xb5\x62\x01\x07\x24\x00$\x02*41\x00\xff".as_slice();
            let again = sent[0].repeat(4);
            [
                SENTENCES.as_bytes().to_vec(),
                sent.join(b"\r\n".as_slice()),
                tagged,
                SENTENCES.lines().next().unwrap_or_default().repeat(4).into_bytes(),
                [b"\0".as_slice(), &sent[0], b"> ", &sent[1], &sent[6], ais, ubx, &again].concat(),
                [&sent[0][..30], &sent[0], b"$$!", &sent[7], b"\r# a comment\n"].concat(),
            ]
        });
    },
    |bytes: &[u8]| {
        receiver::receive(Protocol::Nmea, bytes);
        let lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(valid).collect();
        receiver::receive(Protocol::Nmea, &lines.join(b"\n".as_slice()));
    }
);
