//! What clients may cause.

use std::time::Duration;

/// Limits of a server. The default is for a station with many readers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections.
    pub max_connections: usize,
    /// Open connections of one address, or of one IPv6 network (/64), of which a machine has all
    /// addresses.
    pub max_connections_per_peer: usize,
    /// Size of a request's head in bytes, at least 8192.
    pub max_head_bytes: usize,
    /// Lines of a request's head.
    pub max_headers: usize,
    /// Size of a request's body in bytes.
    pub max_body_bytes: usize,
    /// Time for a request's head, including the idle time before it.
    pub head_timeout: Duration,
    /// Time from a request's head to its response, including the time for its body.
    pub request_timeout: Duration,
    /// Time that a client may take none of a response.
    pub write_timeout: Duration,
    /// Age after which a connection is closed, once its request is answered.
    pub max_connection_age: Duration,
    /// Time for requests in progress at a shutdown.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_connections_per_peer: 64,
            max_head_bytes: 16 * 1024,
            max_headers: 64,
            max_body_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(20),
            max_connection_age: Duration::from_secs(300),
            shutdown_timeout: Duration::from_secs(3),
        }
    }
}
