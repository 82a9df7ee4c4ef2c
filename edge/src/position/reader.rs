//! Reads the bytes of a receiver: finds its messages, parses them, and passes them on.

use super::fix_assembler::FixAssembler;
use super::framing::{Framed, SentenceFramer};
use super::gpsd;
use super::history::{PositionHistory, WITHOUT_CHECKSUM};
use super::lines::Lines;
use super::nav_update::Source;
use super::sentence;
use super::signalk;
use crate::time::MonotonicTimestamp;
use std::sync::Arc;

/// The protocol of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// NMEA 0183 sentences.
    Nmea,
    /// JSON lines of gpsd.
    Gpsd,
    /// JSON lines of a Signal K server's delta stream.
    SignalK,
}

/// What some bytes contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Intact sentences or lines, whatever their content.
    pub valid: u64,
    /// Sentences that are cut or have a wrong checksum; invalid lines of gpsd or Signal K.
    pub damaged: u64,
    /// Sentences without a checksum.
    pub without_checksum: u64,
    /// All bytes.
    pub bytes: u64,
}

impl Contents {
    /// Adds what more bytes contained.
    pub(super) fn add(&mut self, more: Self) {
        self.valid += more.valid;
        self.damaged += more.damaged;
        self.without_checksum += more.without_checksum;
        self.bytes += more.bytes;
    }
}

enum Messages {
    Nmea(SentenceFramer),
    Gpsd(Lines),
    SignalK(Lines, signalk::Stream),
}

/// Reads one connection to a receiver.
pub struct Reader<'a> {
    messages: Messages,
    fix_assembler: &'a mut FixAssembler,
    positions: Arc<PositionHistory>,
}

impl<'a> Reader<'a> {
    /// Reads messages of `protocol`; updates go to `fix_assembler`, counts to `positions`.
    pub fn new(
        protocol: Protocol,
        fix_assembler: &'a mut FixAssembler,
        positions: Arc<PositionHistory>,
    ) -> Self {
        Self {
            messages: match protocol {
                Protocol::Nmea => Messages::Nmea(SentenceFramer::default()),
                Protocol::Gpsd => Messages::Gpsd(Lines::default()),
                Protocol::SignalK => {
                    Messages::SignalK(Lines::default(), signalk::Stream::default())
                }
            },
            fix_assembler,
            positions,
        }
    }

    /// Reads `bytes`, which arrived at `now`.
    pub fn push(&mut self, bytes: &[u8], now: MonotonicTimestamp) -> Contents {
        let mut contents = Contents {
            bytes: bytes.len() as u64,
            ..Contents::default()
        };
        let (assembler, positions) = (&mut *self.fix_assembler, &*self.positions);
        match &mut self.messages {
            Messages::Nmea(framer) => {
                let skipped = framer.push(bytes, |framed| {
                    read_sentence(framed, assembler, positions, now, &mut contents);
                });
                positions.count_skipped_bytes(skipped);
            }
            Messages::Gpsd(lines) => lines.push(bytes, |line| {
                read_line(line, assembler, positions, now, &mut contents);
            }),
            Messages::SignalK(lines, stream) => lines.push(bytes, |line| {
                read_delta(line, stream, assembler, positions, now, &mut contents);
            }),
        }
        contents
    }
}

fn read_sentence(
    framed: Framed<'_>,
    assembler: &mut FixAssembler,
    positions: &PositionHistory,
    now: MonotonicTimestamp,
    contents: &mut Contents,
) {
    let (tag, content) = match framed {
        Framed::Sentence { tag, content } => (tag, content),
        Framed::Damaged => {
            contents.damaged += 1;
            positions.count_damaged();
            tracing::debug!("ignoring damaged NMEA sentence");
            return;
        }
        Framed::WithoutChecksum => {
            contents.without_checksum += 1;
            if positions.count_without_checksum() {
                tracing::warn!("{WITHOUT_CHECKSUM}");
            }
            return;
        }
    };
    contents.valid += 1;
    match sentence::parse(content, assembler.dates()) {
        Ok(update) => {
            positions.count_sentence(update.is_none());
            if let Some(update) = update {
                let source = Source {
                    device: tag,
                    sentence: sentence::address(content).unwrap_or_default(),
                };
                assembler.push(source, &update, now);
            }
        }
        Err(error) => {
            positions.count_malformed();
            tracing::debug!(%error, "ignoring NMEA sentence");
        }
    }
}

fn read_line(
    line: &[u8],
    assembler: &mut FixAssembler,
    positions: &PositionHistory,
    now: MonotonicTimestamp,
    contents: &mut Contents,
) {
    match gpsd::parse(line) {
        Ok(report) => {
            contents.valid += 1;
            positions.count_sentence(report.is_none());
            if let Some(gpsd::Report { device, update }) = report {
                let source = Source {
                    device: &device,
                    sentence: "",
                };
                assembler.push(source, &update, now);
            }
        }
        Err(error) => {
            contents.damaged += 1;
            positions.count_damaged();
            tracing::debug!(%error, "ignoring line of gpsd");
        }
    }
}

fn read_delta(
    line: &[u8],
    stream: &mut signalk::Stream,
    assembler: &mut FixAssembler,
    positions: &PositionHistory,
    now: MonotonicTimestamp,
    contents: &mut Contents,
) {
    match stream.read(line, now) {
        Ok(delta) => {
            contents.valid += 1;
            if delta.malformed {
                positions.count_malformed();
                tracing::debug!("ignoring invalid value of Signal K");
            } else {
                positions.count_sentence(!delta.is_read);
            }
            for signalk::Report { source, update } in delta.reports {
                let source = Source {
                    device: &source,
                    sentence: "",
                };
                assembler.push(source, &update, now);
            }
        }
        Err(error) => {
            contents.damaged += 1;
            positions.count_damaged();
            tracing::debug!(%error, "ignoring line of Signal K");
        }
    }
}
