//! The line to a receiver: serial, or over a network.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one attempt to read takes at most.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// What came over the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for the moment.
    Nothing,
    /// The other end is gone.
    Closed,
}

/// An open line.
pub trait Link: Send {
    /// Waits a little for bytes.
    ///
    /// # Errors
    /// When the line is broken.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received>;
}

/// Opens a line.
pub trait Dial: fmt::Display + Send {
    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn dial(&mut self) -> io::Result<Box<dyn Link>>;
}

/// A receiver, or what passes its sentences on, in a network.
#[derive(Clone, Debug)]
pub struct Network {
    /// `host:port`.
    pub address: String,
    /// What is said first.
    pub greeting: &'static [u8],
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Dial for Network {
    fn dial(&mut self) -> io::Result<Box<dyn Link>> {
        let mut failed = io::Error::new(ErrorKind::NotFound, "the name leads to no address");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(CONNECT))?;
                    stream.write_all(self.greeting)?;
                    return Ok(Box::new(stream));
                }
                Err(e) => failed = e,
            }
        }
        Err(failed)
    }
}

impl Link for TcpStream {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        match self.read(into) {
            Ok(0) => Ok(Received::Closed),
            Ok(bytes) => Ok(Received::Bytes(bytes)),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(Received::Nothing)
            }
            Err(e) => Err(e),
        }
    }
}

/// A receiver on a serial line.
#[derive(Clone, Debug)]
pub struct Serial {
    /// The line, as `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} baud", self.path.display(), self.baud)
    }
}

#[cfg(unix)]
impl Dial for Serial {
    fn dial(&mut self) -> io::Result<Box<dyn Link>> {
        use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
        use rustix::termios::{
            ControlModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr,
        };
        // Without NONBLOCK, opening waits for a modem to lift its receiver.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let line = open(&self.path, flags, Mode::empty())?;
        let mut settings = tcgetattr(&line)?;
        settings.make_raw();
        settings.set_speed(self.baud)?;
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        settings.control_modes -= ControlModes::CRTSCTS;
        // A read ends after three tenths of a second without a byte.
        settings.special_codes[SpecialCodeIndex::VMIN] = 0;
        settings.special_codes[SpecialCodeIndex::VTIME] = 3;
        tcsetattr(&line, OptionalActions::Flush, &settings)?;
        fcntl_setfl(&line, OFlags::empty())?;
        Ok(Box::new(SerialLink(File::from(line))))
    }
}

#[cfg(not(unix))]
impl Dial for Serial {
    fn dial(&mut self) -> io::Result<Box<dyn Link>> {
        Err(io::Error::new(
            ErrorKind::Unsupported,
            "serial lines need Linux",
        ))
    }
}

#[cfg(unix)]
struct SerialLink(File);

#[cfg(unix)]
impl Link for SerialLink {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        let started = Instant::now();
        match self.0.read(into) {
            // Nothing came in time; but a line whose adapter was pulled out answers at once.
            Ok(0) if started.elapsed() < PATIENCE / 3 => Ok(Received::Closed),
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

    /// What comes until there was nothing, or the end.
    fn all(link: &mut dyn Link) -> (Vec<u8>, Received) {
        let (mut bytes, mut buffer) = (vec![], [0; 64]);
        loop {
            match link.receive(&mut buffer).unwrap() {
                Received::Bytes(n) => bytes.extend_from_slice(&buffer[..n]),
                other => return (bytes, other),
            }
        }
    }

    #[test]
    fn a_network_line_greets_and_hears_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut dial = Network {
            address,
            greeting: b"hello\n",
        };
        let mut link = dial.dial().unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let mut greeting = [0; 6];
        there.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello\n");
        there.write_all(b"$GPRMC").unwrap();
        assert_eq!(all(&mut *link), (b"$GPRMC".to_vec(), Received::Nothing));
        drop(there);
        assert_eq!(all(&mut *link).1, Received::Closed);
        drop(listener);
        assert!(dial.dial().is_err(), "nobody listens any more");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_serial_line_is_set_up_and_heard_until_it_is_pulled_out() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        // Closed on exec: a program that another test starts meanwhile would hold the line open.
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, vec![]).unwrap().into_string().unwrap();
        let mut dial = Serial {
            path: path.into(),
            baud: 38_400,
        };
        let mut link = dial.dial().unwrap();
        let mut there = File::from(master);
        // Neither echoed nor translated: what a terminal would make of these bytes does not happen.
        let sent = b"$GPRMC,1*00\r\n\x03\x04\x11";
        there.write_all(sent).unwrap();
        assert_eq!(all(&mut *link), (sent.to_vec(), Received::Nothing));
        drop(there);
        let ended = link.receive(&mut [0; 8]);
        assert!(matches!(ended, Ok(Received::Closed) | Err(_)), "{ended:?}");
    }

    #[test]
    fn a_serial_line_that_is_none_is_an_error() {
        for path in ["/dev/no-such-tty", "/dev/null"] {
            let mut dial = Serial {
                path: path.into(),
                baud: 4800,
            };
            assert!(dial.dial().is_err(), "{path}");
        }
    }
}
