//! Limits on clients.

use std::time::Duration;

/// Limits that the broker enforces on clients.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Simultaneous connections; a further one is closed at once.
    pub max_connections: usize,
    /// Bytes of a packet after its fixed header. A larger one closes its connection before it is
    /// read.
    pub max_packet_bytes: usize,
    /// Messages queued for one subscriber; a full queue holds the publishers back.
    pub max_queued_messages: usize,
    /// Unacknowledged messages of one subscriber.
    pub max_in_flight: usize,
    /// Filters of one subscriber.
    pub max_filters: usize,
    /// Topics with a retained message; a message on a further one is delivered and not retained.
    pub max_retained_messages: usize,
    /// Bytes of a retained message; a larger one is delivered and not retained.
    pub max_retained_bytes: usize,
    /// Time from the connection to the CONNECT packet.
    pub connect_timeout: Duration,
    /// Time in which a subscriber must make room in its queue or read a byte; otherwise it is
    /// disconnected.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            // The largest message, its topic and packet id.
            max_packet_bytes: flukewatch_common::wire::MAX_MESSAGE + 1024,
            max_queued_messages: 256,
            max_in_flight: 64,
            max_filters: 64,
            max_retained_messages: 1000,
            max_retained_bytes: 4096,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
        }
    }
}
