//! A client that says to a broker what no honest one would: raw MQTT 3.1.1 over TCP.

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
    /// When the broker refuses.
    pub fn connect(broker: SocketAddr, id: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let header = [&[0, 4], b"MQTT".as_slice(), &[4, 2, 0, 60]].concat();
        stream.write_all(&packet(0x10, &[&header, &text(id)]))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer == [0x20, 2, 0, 0] {
            Ok(Self { stream })
        } else {
            Err(io::Error::other(format!("{answer:?}")))
        }
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    ///
    /// # Errors
    /// When the broker closes the connection instead.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.stream
            .write_all(&packet(0x32, &[&text(topic), &[0, 1], payload]))?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer)?;
        if answer == [0x40, 2, 0, 1] {
            Ok(())
        } else {
            Err(io::Error::other(format!("{answer:?}")))
        }
    }

    /// Announces a message of `bytes` zeros at QoS 0 and sends as many of them as the broker lets it; returns how many.
    pub fn flood(mut self, topic: &str, bytes: usize) -> usize {
        let start = text(topic);
        let mut header = vec![0x30];
        header.extend(length(start.len() + bytes));
        header.extend(start);
        let chunk = vec![0; 64 * 1024];
        let mut sent = 0;
        let mut more = self.stream.write_all(&header).is_ok();
        while more && sent < bytes {
            let part = chunk.len().min(bytes - sent);
            more = self.stream.write_all(&chunk[..part]).is_ok();
            sent += if more { part } else { 0 };
        }
        sent
    }
}

/// Sends bytes that are no MQTT at all.
///
/// # Errors
/// When there is no connection; that the broker closes it is none.
pub fn rubbish(broker: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(broker)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    let mut answer = vec![];
    // A reset is an answer too.
    let _ = stream.read_to_end(&mut answer);
    Ok(())
}

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(length(parts.iter().map(|p| p.len()).sum()));
    parts.iter().for_each(|p| bytes.extend_from_slice(p));
    bytes
}

/// MQTT's "remaining length": seven bits a byte, lowest first.
fn length(mut bytes: usize) -> Vec<u8> {
    let mut coded = vec![];
    loop {
        let low = (bytes % 128) as u8;
        bytes /= 128;
        coded.push(if bytes > 0 { low | 0x80 } else { low });
        if bytes == 0 {
            return coded;
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
