//! An MQTT 5 client over TLS that sends whatever a test wants.

use flukewatch_shore::authority::TlsFiles;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a test waits for something that must not happen.
const QUIET_PERIOD: Duration = Duration::from_millis(400);
const POLL: Duration = Duration::from_millis(20);

/// MQTT 5 reason code: the topic is not permitted.
pub(super) const NOT_AUTHORIZED: u8 = 0x87;

/// How to connect.
#[derive(Clone, Debug)]
pub(super) struct Options<'a> {
    /// Certificate and key; `None` connects without.
    pub(super) identity: Option<&'a TlsFiles>,
    /// The client id, which has nothing to do with the certificate.
    pub(super) client_id: &'a str,
    /// Topic and payload of the last will.
    pub(super) will: Option<(&'a str, &'a str)>,
    /// The certificate that the broker's one must be from.
    pub(super) ca: &'a Path,
    /// Whether the clock is at 1970.
    pub(super) clock_reset: bool,
}

#[derive(Debug)]
struct Reset;

impl TimeProvider for Reset {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(60)))
    }
}

pub(super) struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
    messages: Vec<(String, Vec<u8>)>,
}

impl Client {
    /// Connects, and returns once the broker has accepted the client.
    pub(super) fn connect(broker: SocketAddr, options: &Options<'_>) -> io::Result<Self> {
        let tcp = TcpStream::connect(broker)?;
        tcp.set_read_timeout(Some(POLL))?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection =
            ClientConnection::new(Arc::new(config(options)), name).map_err(io::Error::other)?;
        let mut client = Self {
            tls: StreamOwned::new(connection, tcp),
            received: vec![],
            messages: vec![],
        };
        let mut flags = 2;
        let mut payload = text(options.client_id);
        if let Some((topic, message)) = options.will {
            // Retained, at QoS 1.
            flags |= 0b0010_1100;
            payload.push(0);
            payload.extend(text(topic));
            payload.extend(text(message));
        }
        let header = [&text("MQTT")[..], &[5, flags, 0, 60, 0]].concat();
        client.send(0x10, &[&header, &payload])?;
        match client.answer(0x20)?.get(1) {
            Some(0) => Ok(client),
            reason => Err(io::Error::other(format!("CONNACK {reason:?}"))),
        }
    }

    /// Publishes at QoS 1, and returns the reason code of the acknowledgement; success is less than
    /// 0x80.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<u8> {
        self.publish_as(0x32, topic, payload)
    }

    /// The same, retained.
    pub(super) fn retain(&mut self, topic: &str, payload: &[u8]) -> io::Result<u8> {
        self.publish_as(0x33, topic, payload)
    }

    fn publish_as(&mut self, kind: u8, topic: &str, payload: &[u8]) -> io::Result<u8> {
        self.send(kind, &[&text(topic), &[0, 7, 0], payload])?;
        Ok(self.answer(0x40)?.get(2).copied().unwrap_or(0))
    }

    /// Subscribes at QoS 1, and returns the reason code.
    pub(super) fn subscribe(&mut self, filter: &str) -> io::Result<u8> {
        self.send(0x82, &[&[0, 9, 0], &text(filter), &[1]])?;
        Ok(self.answer(0x90)?.last().copied().unwrap_or(0xff))
    }

    /// The next message.
    pub(super) fn message(&mut self) -> (String, Vec<u8>) {
        self.poll_until(TIMEOUT, |client| !client.messages.is_empty())
            .unwrap();
        assert!(!self.messages.is_empty(), "no message arrived");
        self.messages.remove(0)
    }

    /// Asserts that no message arrives.
    pub(super) fn expect_no_message(&mut self) {
        self.poll_until(QUIET_PERIOD, |_| false).unwrap();
        assert_eq!(self.messages, []);
    }

    /// Whether the broker still answers.
    pub(super) fn is_connected(&mut self) -> bool {
        self.send(0xc0, &[]).is_ok() && self.answer(0xd0).is_ok()
    }

    /// Waits until the broker closes the connection; returns whether it did.
    pub(super) fn is_closed(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if self.read().is_err() {
                return true;
            }
        }
        false
    }

    /// Ends without DISCONNECT, so that the last will is published.
    pub(super) fn abort(self) {
        drop(self);
    }

    fn send(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let body = parts.concat();
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            let low = (length % 128) as u8;
            length /= 128;
            packet.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        let mut rest = &packet[..];
        let started = Instant::now();
        while !rest.is_empty() {
            match self.tls.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => rest = &rest[bytes..],
                // The handshake waits for the broker.
                Err(error) if is_timeout(&error) && started.elapsed() < TIMEOUT => {}
                Err(error) => return Err(error),
            }
        }
        while let Err(error) = self.tls.flush() {
            if !is_timeout(&error) || started.elapsed() > TIMEOUT {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits for a packet of this kind, and returns its body.
    fn answer(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        let started = Instant::now();
        loop {
            while let Some((header, body)) = self.packet() {
                if header & 0xf0 == kind {
                    return Ok(body);
                }
                self.handle(header, &body)?;
            }
            if started.elapsed() > TIMEOUT {
                return Err(ErrorKind::TimedOut.into());
            }
            self.read()?;
        }
    }

    fn poll_until(
        &mut self,
        timeout: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < timeout {
            while let Some((header, body)) = self.packet() {
                self.handle(header, &body)?;
            }
            if done(self) {
                return Ok(());
            }
            self.read()?;
        }
        Ok(())
    }

    fn handle(&mut self, header: u8, body: &[u8]) -> io::Result<()> {
        if header & 0xf0 != 0x30 {
            return Ok(());
        }
        let (length, rest) = body.split_first_chunk::<2>().unwrap();
        let (topic, mut rest) = rest.split_at(u16::from_be_bytes(*length).into());
        let mut id = None;
        if header & 0x06 != 0 {
            let (packet_id, after) = rest.split_first_chunk::<2>().unwrap();
            (id, rest) = (Some(*packet_id), after);
        }
        let properties = usize::from(rest[0]);
        let topic = String::from_utf8(topic.to_vec()).unwrap();
        self.messages.push((topic, rest[1 + properties..].to_vec()));
        match id {
            Some(id) => self.send(0x40, &[&id]),
            None => Ok(()),
        }
    }

    /// A whole packet, if one has arrived.
    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut length = 0;
        let mut position = 1;
        loop {
            let byte = *self.received.get(position)?;
            length |= usize::from(byte & 0x7f) << (7 * (position - 1));
            position += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.received.len() < position + length {
            return None;
        }
        let rest = self.received.split_off(position + length);
        let packet = std::mem::replace(&mut self.received, rest);
        Some((packet[0], packet[position..].to_vec()))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.tls.read(&mut bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend(&bytes[..count]);
                Ok(())
            }
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn config(options: &Options<'_>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let time: Arc<dyn TimeProvider> = if options.clock_reset {
        Arc::new(Reset)
    } else {
        Arc::new(DefaultTimeProvider)
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate(options.ca)).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier.build().unwrap());
    match options.identity {
        Some(files) => builder
            .with_client_auth_cert(
                vec![certificate(&files.certificate)],
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    }
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
