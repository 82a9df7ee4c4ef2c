//! Limits on clients: programs of this computer, so that they guard against faults rather than attacks.

use std::time::Duration;

/// Limits that the broker enforces on clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a packet after its fixed header. A larger one closes its connection before it is
    /// read.
    pub max_packet_bytes: usize,
    /// Messages queued for one subscriber; a full queue holds the publishers back.
    pub max_queued_messages: usize,
    /// Unacknowledged messages of one subscriber.
    pub max_in_flight: usize,
    /// Time in which a subscriber must make room in its queue or read a byte; otherwise it is
    /// disconnected.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The largest message, its topic and packet id.
            max_packet_bytes: flukewatch_common::wire::MAX_MESSAGE + 1024,
            max_queued_messages: 256,
            max_in_flight: 64,
            write_timeout: Duration::from_secs(30),
        }
    }
}
