//! Reads a GNSS receiver and reconnects after a loss.

use super::fix_assembler::FixAssembler;
use super::history::PositionHistory;
use super::reader::{Contents, Protocol, Reader};
use super::transport::{Connector, Received, Transport};
use crate::backoff::Backoff;
use crate::cancellation::CancellationToken;
use crate::time::MonotonicClock;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How often a wait checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);

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
            match self.connect_and_read_guarded() {
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

    /// Reads foreign bytes. Where that panics, the boat must not be without position and time until
    /// somebody restarts it: the panic ends the connection alone.
    fn connect_and_read_guarded(&mut self) -> ConnectionEnd {
        // What a panic may leave behind is the last values, each complete.
        let ended = catch_unwind(AssertUnwindSafe(|| self.connect_and_read()));
        ended.unwrap_or_else(|_| {
            let panics = self.positions.count_panic();
            tracing::error!(panics, "GNSS client panicked; reconnecting");
            ConnectionEnd::Failed {
                connected: false,
                error:
                    "internal error: reading the receiver panicked; please report it with the log"
                        .into(),
            }
        })
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
        let mut reader = Reader::new(
            self.protocol,
            &mut self.fix_assembler,
            self.positions.clone(),
        );
        let mut buffer = [0; 4096];
        let mut last_sentence = self.clock.now();
        let mut since_last_sentence = Contents::default();
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
            let now = self.clock.now();
            let contents = reader.push(received, now);
            if contents.valid > 0 {
                last_sentence = now;
                since_last_sentence = Contents::default();
                self.backoff.reset();
                continue;
            }
            since_last_sentence.add(contents);
            if now.since(last_sentence) >= self.timeout {
                let seconds = self.timeout.as_secs_f64();
                let (problem, hint) = problem(since_last_sentence, self.protocol);
                return failed(format!("{problem} within {seconds:.0} s{hint}"));
            }
        }
        ConnectionEnd::Cancelled
    }
}

/// What is wrong with a connection without a valid sentence, and what to check.
fn problem(received: Contents, protocol: Protocol) -> (&'static str, &'static str) {
    match (received, protocol) {
        (Contents { bytes: 0, .. }, Protocol::SignalK) => (
            "no data",
            "; check in the Signal K server that it has a position",
        ),
        (Contents { bytes: 0, .. }, _) => ("no data", ""),
        (_, Protocol::Gpsd) => (
            "bytes but no line of gpsd",
            "; check that gpsd runs at this address",
        ),
        (_, Protocol::SignalK) => (
            "bytes but no delta of Signal K",
            "; check that the port is that of the server's TCP stream, usually 8375",
        ),
        (
            Contents {
                damaged: 0,
                without_checksum: 0,
                ..
            },
            Protocol::Nmea,
        ) => ("bytes but no sentence", "; check protocol and baud rate"),
        (
            Contents {
                damaged,
                without_checksum,
                ..
            },
            _,
        ) if without_checksum >= damaged => (
            "only sentences without a checksum",
            "; switch on checksums in the receiver's settings",
        ),
        _ => (
            "only damaged sentences",
            "; check the cable, and that only one device sends",
        ),
    }
}

#[cfg(test)]
mod tests;
