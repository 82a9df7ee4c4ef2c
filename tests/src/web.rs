//! A minimal HTTP client that can also send malformed requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// Status code, e.g. 200.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Body, without any decoding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When the body is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// The response to `GET path`.
///
/// # Panics
/// When the server does not respond.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
    .unwrap_or_else(|| panic!("no response to GET {path}"))
}

/// The response to these bytes; `None` if the connection was closed without one.
///
/// # Panics
/// When the connection is refused.
pub fn ask(address: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // The server may close the connection before the request is complete.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = vec![];
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = bytes.split_off(end + 4);
    Some(Answer { status, head, body })
}
