//! Event files for TensorBoard: `TFRecord` frames of `Event` messages, both of TensorFlow.

use std::io::{self, Write};

/// Writes events.
pub(crate) struct EventWriter<W: Write> {
    to: W,
}

/// When an event happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EventTime {
    /// Seconds since 1970.
    pub(crate) wall: f64,
    /// Steps so far.
    pub(crate) step: u64,
}

impl<W: Write> EventWriter<W> {
    /// Starts a file at the event `at`. Viewers then ignore what earlier files hold from this step on: it
    /// is repeated after an interruption.
    pub(crate) fn start(to: W, at: EventTime) -> io::Result<Self> {
        let mut events = Self { to };
        let mut version = Message::default();
        version.double(1, at.wall);
        version.bytes(3, b"brain.Event:2");
        events.record(&version.0)?;
        const START: u64 = 1;
        let mut session = Message::default();
        session.varint(1, START);
        events.event(at, 7, &session)?;
        Ok(events)
    }

    /// One value of each tag.
    pub(crate) fn scalars(&mut self, at: EventTime, values: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut scalar = Message::default();
            scalar.bytes(1, tag.as_bytes());
            scalar.float(2, *value as f32);
            summary.bytes(1, &scalar.0);
        }
        self.event(at, 5, &summary)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn event(&mut self, at: EventTime, field: u64, what: &Message) -> io::Result<()> {
        let mut event = Message::default();
        event.double(1, at.wall);
        event.varint(2, at.step);
        event.bytes(field, &what.0);
        self.record(&event.0)
    }

    /// Length, its checksum, data and their checksum.
    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut frame = Vec::with_capacity(data.len() + 16);
        frame.extend(length);
        frame.extend(masked_crc32c(&length).to_le_bytes());
        frame.extend(data);
        frame.extend(masked_crc32c(data).to_le_bytes());
        self.to.write_all(&frame)
    }
}

/// A Protocol Buffers message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, wire_type: u64) {
        self.plain(field << 3 | wire_type);
    }

    fn plain(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.plain(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.plain(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}

/// CRC-32C (Castagnoli).
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

/// As records hold it, so that a checksum of data with checksums remains meaningful.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_specification() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn bytes_are_those_of_a_known_file() {
        let at = EventTime {
            wall: 1.5,
            step: 300,
        };
        let mut file = vec![];
        let mut events = EventWriter::start(&mut file, at).unwrap();
        events.scalars(at, &[("loss", 0.5)]).unwrap();
        // The frame of the version, 24 bytes long, starts every file that TensorFlow writes.
        assert_eq!(
            file[..12],
            [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]
        );
        assert_eq!(
            file[12..36],
            *b"\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0dbrain.Event:2"
        );
        let mut rest = &file[40..];
        let mut next = || {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc32c(&rest[..8]).to_le_bytes());
            let data = rest[12..12 + length].to_vec();
            assert_eq!(rest[12 + length..][..4], masked_crc32c(&data).to_le_bytes());
            rest = &rest[16 + length..];
            data
        };
        let time = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02";
        assert_eq!(next(), [&time[..], b"\x3a\x02\x08\x01"].concat());
        let scalar = b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f";
        assert_eq!(next(), [&time[..], scalar].concat());
        assert!(rest.is_empty());
    }
}
