//! Ports on the loopback address.

use std::net::TcpListener;

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Panics
/// When there is no free port.
pub fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
