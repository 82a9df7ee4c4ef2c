//! Reads a GNSS receiver and reconnects after a loss.

use super::fix_assembler::FixAssembler;
use super::history::PositionHistory;
use super::lines::Lines;
use super::transport::{Connector, Received, Transport};
use super::{gpsd, sentence};
use crate::backoff::Backoff;
use crate::cancellation::CancellationToken;
use crate::time::MonotonicClock;
use std::sync::Arc;
use std::time::Duration;

/// How often a wait checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);

/// The protocol of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// NMEA 0183 sentences.
    Nmea,
    /// JSON lines of gpsd.
    Gpsd,
}

/// Reads a GNSS receiver and reconnects to it.
pub struct GnssClient {
    /// Opens a connection to the receiver.
    pub connector: Box<dyn Connector>,
    /// The protocol that the receiver speaks.
    pub protocol: Protocol,
    /// Without a sentence for this long it reconnects.
    pub timeout: Duration,
    /// Where its updates go.
    pub fix_assembler: FixAssembler,
    /// Where its state goes.
    pub positions: Arc<PositionHistory>,
    /// Stamps sentences with their arrival.
    pub clock: Arc<dyn MonotonicClock>,
    /// Delays between attempts to connect.
    pub backoff: Backoff,
    /// Cancels the client.
    pub stop: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug)]
enum ConnectionEnd {
    Cancelled,
    Failed {
        /// Whether the connection was made.
        connected: bool,
        error: String,
    },
}

impl GnssClient {
    /// Reads the receiver until it is cancelled. Blocks.
    pub fn run(mut self) {
        let mut logged = None;
        loop {
            match self.connect_and_read() {
                ConnectionEnd::Cancelled => return,
                ConnectionEnd::Failed { connected, error } => {
                    let error = format!("{}: {error}", self.connector);
                    if logged.as_ref() != Some(&error) {
                        tracing::warn!(error, "GNSS connection lost; reconnecting");
                        logged = Some(error.clone());
                    }
                    self.positions.set_disconnected(connected, error);
                }
            }
            if !self.pause() {
                return;
            }
        }
    }

    /// Waits for the backoff's delay; `false` when cancelled.
    fn pause(&mut self) -> bool {
        let mut left = self.backoff.next_delay();
        while !left.is_zero() && !self.stop.is_cancelled() {
            let nap = left.min(CHECK);
            std::thread::sleep(nap);
            left -= nap;
        }
        !self.stop.is_cancelled()
    }

    fn connect_and_read(&mut self) -> ConnectionEnd {
        if self.stop.is_cancelled() {
            return ConnectionEnd::Cancelled;
        }
        let mut transport = match self.connector.connect() {
            Ok(transport) => transport,
            Err(e) => {
                return ConnectionEnd::Failed {
                    connected: false,
                    error: e.to_string(),
                };
            }
        };
        self.positions.count_connection();
        self.read(&mut *transport)
    }

    fn read(&mut self, transport: &mut dyn Transport) -> ConnectionEnd {
        let (mut lines, mut buffer) = (Lines::default(), [0; 4096]);
        let mut last_sentence = self.clock.now();
        let mut received_garbage = false;
        let failed = |error: String| ConnectionEnd::Failed {
            connected: true,
            error,
        };
        while !self.stop.is_cancelled() {
            let received = match transport.receive(&mut buffer) {
                Ok(Received::Bytes(n)) => buffer.get(..n).unwrap_or_default(),
                Ok(Received::Nothing) => &[],
                Ok(Received::Closed) => return failed("connection closed".into()),
                Err(e) => return failed(e.to_string()),
            };
            received_garbage |= !received.is_empty();
            let now = self.clock.now();
            let mut valid = false;
            lines.push(received, |line| {
                let update = match self.protocol {
                    Protocol::Nmea => sentence::parse(line).map_err(|e| e.to_string()),
                    Protocol::Gpsd => gpsd::parse(line).map_err(|e| e.to_string()),
                };
                match update {
                    Ok(update) => {
                        valid = true;
                        self.positions.count_sentence();
                        self.fix_assembler.push(&update, now);
                    }
                    Err(e) => {
                        self.positions.count_damaged();
                        tracing::debug!("ignoring GNSS sentence: {e}");
                    }
                }
            });
            if valid {
                last_sentence = now;
                received_garbage = false;
                self.backoff.reset();
            } else if now.since(last_sentence) >= self.timeout {
                let seconds = self.timeout.as_secs_f64();
                return failed(if received_garbage {
                    format!(
                        "bytes but no valid sentence within {seconds:.0} s; check protocol and baud rate"
                    )
                } else {
                    format!("no data within {seconds:.0} s")
                });
            }
        }
        ConnectionEnd::Cancelled
    }
}

#[cfg(test)]
mod tests;
