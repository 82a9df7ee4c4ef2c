//! The connection to a receiver: serial or network.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The timeout of a read.
pub(super) const READ_TIMEOUT: Duration = Duration::from_millis(300);
/// The timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The number of bytes.
    Bytes(usize),
    /// Nothing within the timeout.
    Nothing,
    /// The other end closed the connection.
    Closed,
}

/// An open connection to a receiver.
pub trait Transport: Send {
    /// Waits for bytes for a short time.
    ///
    /// # Errors
    /// When the connection is broken.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received>;
}

/// Opens connections to a receiver.
pub trait Connector: fmt::Display + Send {
    /// Opens a new connection.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn connect(&mut self) -> io::Result<Box<dyn Transport>>;
}

/// A receiver or its server in a network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Host and port, e.g. `127.0.0.1:2947`.
    pub address: String,
    /// The bytes to send first.
    pub greeting: &'static [u8],
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Connector for Network {
    fn connect(&mut self) -> io::Result<Box<dyn Transport>> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "the host name has no address");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(READ_TIMEOUT))?;
                    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                    stream.write_all(self.greeting)?;
                    return Ok(Box::new(stream));
                }
                Err(e) => failed = e,
            }
        }
        Err(failed)
    }
}

impl Transport for TcpStream {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        match self.read(into) {
            Ok(0) => Ok(Received::Closed),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(e) if is_timeout(&e) => Ok(Received::Nothing),
            Err(e) => Err(e),
        }
    }
}

/// Whether an error says that nothing arrived in time.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// A receiver on a serial line.
#[derive(Clone, Debug)]
pub struct Serial {
    /// The device, e.g. `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// Baud rate in bits per second.
    pub baud: u32,
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} baud", self.path.display(), self.baud)
    }
}

#[cfg(unix)]
impl Connector for Serial {
    fn connect(&mut self) -> io::Result<Box<dyn Transport>> {
        use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
        use rustix::termios::{
            ControlModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr,
        };
        // Without NONBLOCK, opening waits for a modem's carrier.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = open(&self.path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&device)?;
        settings.make_raw();
        settings.set_speed(self.baud)?;
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        settings.control_modes -= ControlModes::CRTSCTS;
        // A read ends after three tenths of a second without a byte.
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = 3;
        tcsetattr(&device, OptionalActions::Flush, &settings)?;
        fcntl_setfl(&device, OFlags::empty())?;
        Ok(Box::new(SerialTransport(File::from(device))))
    }
}

#[cfg(not(unix))]
impl Connector for Serial {
    fn connect(&mut self) -> io::Result<Box<dyn Transport>> {
        Err(io::Error::new(
            ErrorKind::Unsupported,
            "serial devices require Linux",
        ))
    }
}

#[cfg(unix)]
struct SerialTransport(File);

#[cfg(unix)]
impl Transport for SerialTransport {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        let started = Instant::now();
        match self.0.read(into) {
            // Nothing within the timeout, while an unplugged adapter returns at once.
            Ok(0) if started.elapsed() < READ_TIMEOUT / 3 => Ok(Received::Closed),
            Ok(0) => Ok(Received::Nothing),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// All bytes until nothing more arrives, or the end.
    fn all(transport: &mut dyn Transport) -> (Vec<u8>, Received) {
        let (mut bytes, mut buffer) = (vec![], [0; 64]);
        loop {
            match transport.receive(&mut buffer).unwrap() {
                Received::Bytes(n) => bytes.extend_from_slice(&buffer[..n]),
                other => return (bytes, other),
            }
        }
    }

    #[test]
    fn a_network_connection_greets_and_reads_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connector = Network {
            address,
            greeting: b"hello\n",
        };
        let mut transport = connector.connect().unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let mut greeting = [0; 6];
        there.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello\n");
        there.write_all(b"$GPRMC").unwrap();
        assert_eq!(
            all(&mut *transport),
            (b"$GPRMC".to_vec(), Received::Nothing)
        );
        drop(there);
        assert_eq!(all(&mut *transport).1, Received::Closed);
        drop(listener);
        assert!(connector.connect().is_err(), "nothing listens any more");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_serial_device_is_configured_and_read_until_it_is_unplugged() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        // Close on exec: a child process of another test would hold it open.
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, vec![]).unwrap().into_string().unwrap();
        let mut connector = Serial {
            path: path.into(),
            baud: 38_400,
        };
        let mut transport = connector.connect().unwrap();
        let mut there = File::from(master);
        // Raw mode: nothing is echoed or translated.
        let sent = b"$GPRMC,1*00\r\n\x03\x04\x11";
        there.write_all(sent).unwrap();
        assert_eq!(all(&mut *transport), (sent.to_vec(), Received::Nothing));
        drop(there);
        let ended = transport.receive(&mut [0; 8]);
        assert!(matches!(ended, Ok(Received::Closed) | Err(_)), "{ended:?}");
    }

    #[test]
    fn a_path_that_is_not_a_serial_device_is_an_error() {
        for path in ["/dev/no-such-tty", "/dev/null"] {
            let mut connector = Serial {
                path: path.into(),
                baud: 4800,
            };
            assert!(connector.connect().is_err(), "{path}");
        }
    }
}
