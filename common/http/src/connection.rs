//! The connection that a request came in on.

use std::net::SocketAddr;

/// Both ends of a connection: an extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of this machine that the client connected to.
    pub local: SocketAddr,
}
