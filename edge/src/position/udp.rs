//! NMEA 0183 in UDP datagrams, as multiplexers broadcast it: several sentences in a datagram, usually
//! to port 10110.

use super::transport::{Connector, READ_TIMEOUT, Received, Transport, is_timeout};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Listens to datagrams.
#[derive(Clone, Debug)]
pub struct Datagrams {
    /// The address to listen on: `0.0.0.0` and a port receives broadcasts of all networks.
    pub listen: SocketAddr,
    /// The only sender that is listened to; `None` for all.
    pub sender: Option<IpAddr>,
}

impl fmt::Display for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UDP {}", self.listen)?;
        match self.sender {
            Some(sender) => write!(f, " from {sender}"),
            None => Ok(()),
        }
    }
}

impl Connector for Datagrams {
    fn connect(&mut self) -> io::Result<Box<dyn Transport>> {
        let domain = Domain::for_address(self.listen);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // A chart plotter on the same computer may listen to the same broadcasts.
        socket.set_reuse_address(true)?;
        socket
            .bind(&self.listen.into())
            .map_err(|e| match e.kind() {
                ErrorKind::AddrInUse => io::Error::new(
                    ErrorKind::AddrInUse,
                    format!("{e}: another program has this port for itself"),
                ),
                _ => e,
            })?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Box::new(Listening {
            socket,
            sender: self.sender,
            ignored: None,
        }))
    }
}

struct Listening {
    socket: UdpSocket,
    sender: Option<IpAddr>,
    /// The last sender that was ignored, and is in the log.
    ignored: Option<IpAddr>,
}

impl Listening {
    fn accepts(&mut self, from: IpAddr) -> bool {
        // An IPv6 socket receives IPv4 datagrams from mapped addresses.
        let from = from.to_canonical();
        if self.sender.is_none_or(|s| s.to_canonical() == from) {
            return true;
        }
        if self.ignored != Some(from) {
            tracing::warn!(sender = %from, "ignoring datagrams of another sender");
            self.ignored = Some(from);
        }
        false
    }
}

impl Transport for Listening {
    /// A datagram, cut to the buffer's size. It ends with a line feed: the start of a sentence at its
    /// end must not be joined with the next datagram, which another sender may have sent.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        let Some((_, room)) = into.split_last_mut() else {
            return Ok(Received::Nothing);
        };
        match self.socket.recv_from(room) {
            Ok((bytes, from)) if self.accepts(from.ip()) => {
                if let Some(end) = into.get_mut(bytes) {
                    *end = b'\n';
                }
                Ok(Received::Bytes(bytes + 1))
            }
            Ok(_) => Ok(Received::Nothing),
            Err(e) if is_timeout(&e) => Ok(Received::Nothing),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// A connector with a free port, and a socket that sends to it from `from`.
    fn pair(sender: Option<IpAddr>, from: Ipv4Addr) -> (Datagrams, UdpSocket) {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.connect(listen).unwrap();
        (Datagrams { listen, sender }, socket)
    }

    fn received(transport: &mut dyn Transport) -> Option<Vec<u8>> {
        let mut buffer = [0; 64];
        match transport.receive(&mut buffer).unwrap() {
            Received::Bytes(n) => Some(buffer[..n].to_vec()),
            Received::Nothing => None,
            Received::Closed => panic!("UDP has no connection to close"),
        }
    }

    #[test]
    fn datagrams_are_read_one_by_one() {
        let (mut connector, socket) = pair(None, Ipv4Addr::LOCALHOST);
        let mut transport = connector.connect().unwrap();
        for sent in [&b"$GPRMC,1*00\r\n$GPGGA,2*00\r\n"[..], b"$GP", b""] {
            socket.send(sent).unwrap();
            let expected = [sent, b"\n"].concat();
            assert_eq!(received(&mut *transport), Some(expected));
        }
        assert_eq!(received(&mut *transport), None, "nothing more");
        socket.send(&[b'x'; 9000]).unwrap();
        let cut = received(&mut *transport).unwrap();
        assert_eq!((cut.len(), cut.last()), (64, Some(&b'\n')));
    }

    #[test]
    fn other_senders_are_ignored() {
        let other = Ipv4Addr::new(127, 0, 0, 2);
        let (mut connector, socket) = pair(Some(other.into()), Ipv4Addr::LOCALHOST);
        let mut transport = connector.connect().unwrap();
        socket.send(b"$GPRMC\n").unwrap();
        assert_eq!(received(&mut *transport), None);
        let (mut connector, socket) = pair(Some(other.into()), other);
        let mut transport = connector.connect().unwrap();
        socket.send(b"$GPRMC\n").unwrap();
        assert!(received(&mut *transport).is_some());
        let shown = connector.to_string();
        let expected = format!("UDP {} from 127.0.0.2", connector.listen);
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_port_is_shared_with_programs_that_share_it() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut connector = Datagrams {
            listen: taken.local_addr().unwrap(),
            sender: None,
        };
        let Err(error) = connector.connect() else {
            panic!("the port is taken");
        };
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("another program"), "{error}");
        drop(taken);
        let _one = connector.connect().unwrap();
        let _other = connector.connect().unwrap();
    }
}
