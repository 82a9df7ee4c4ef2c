//! A misbehaving client: raw MQTT 3.1.1 over TCP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that the broker has accepted.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects as `id`, with a clean session.
    ///
    /// # Errors
    /// When the broker rejects the connection.
    pub fn connect(broker: SocketAddr, id: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let header = [&[0, 4], b"MQTT".as_slice(), &[4, 2, 0, 60]].concat();
        stream.write_all(&packet(0x10, &[&header, &text(id)]))?;
        let mut response = [0; 4];
        stream.read_exact(&mut response)?;
        if response == [0x20, 2, 0, 0] {
            Ok(Self { stream })
        } else {
            Err(io::Error::other(format!("{response:?}")))
        }
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    ///
    /// # Errors
    /// When the broker closes the connection instead.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.stream
            .write_all(&packet(0x32, &[&text(topic), &[0, 1], payload]))?;
        let mut response = [0; 4];
        self.stream.read_exact(&mut response)?;
        if response == [0x40, 2, 0, 1] {
            Ok(())
        } else {
            Err(io::Error::other(format!("{response:?}")))
        }
    }

    /// Announces a message of `bytes` zeros at QoS 0 and sends until the broker closes the
    /// connection; returns how many were sent.
    pub fn flood(mut self, topic: &str, bytes: usize) -> usize {
        let prefix = text(topic);
        let mut header = vec![0x30];
        header.extend(length(prefix.len() + bytes));
        header.extend(prefix);
        let chunk = vec![0; 64 * 1024];
        let mut sent = 0;
        let mut open = self.stream.write_all(&header).is_ok();
        while open && sent < bytes {
            let part = chunk.len().min(bytes - sent);
            open = self.stream.write_all(&chunk[..part]).is_ok();
            sent += if open { part } else { 0 };
        }
        sent
    }
}

/// Sends bytes that are not MQTT and reads until the broker closes the connection.
///
/// # Errors
/// When the broker cannot be reached.
pub fn send_garbage(broker: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    let mut response = vec![];
    // A reset closes the connection too.
    let _ = stream.read_to_end(&mut response);
    Ok(())
}

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(length(parts.iter().map(|p| p.len()).sum()));
    parts.iter().for_each(|p| bytes.extend_from_slice(p));
    bytes
}

/// MQTT's "remaining length": seven bits per byte, lowest first.
fn length(mut bytes: usize) -> Vec<u8> {
    let mut encoded = vec![];
    loop {
        let low = (bytes % 128) as u8;
        bytes /= 128;
        encoded.push(if bytes > 0 { low | 0x80 } else { low });
        if bytes == 0 {
            return encoded;
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
