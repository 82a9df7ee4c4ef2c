//! A TCP proxy between a boat and the broker, on a link that can be bad.
//!
//! Two threads serve each direction of a connection: one reads, one passes on as late and as slowly as
//! the link demands. What has been read and not passed on is bounded, so that a sender notices a slow
//! link.

use super::link::{Damage, Direction, Link};
use anyhow::Context;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often conditions are looked at while bytes cannot pass.
const POLL: Duration = Duration::from_millis(10);
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// Chunks that wait in the proxy.
const WAITING: usize = 64;
/// Slices per second on a throttled link.
const SLICES: u32 = 10;
/// Bytes of a direction before the first damage: those of the handshake are not all protected, e.g.
/// the version in the header of the first record.
const HANDSHAKE: usize = 1024;
/// The longest stretch that is replayed.
const REPLAYED: usize = 2048;
/// Time to connect to the broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A proxy on a free port of this machine. Ends its connections when it is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    link: Arc<Link>,
    broker: SocketAddr,
    stop: AtomicBool,
    connections: Mutex<Vec<Arc<Connection>>>,
}

/// An open connection through the proxy.
struct Connection {
    boat: TcpStream,
    broker: TcpStream,
    ended: AtomicBool,
    damaged: Mutex<Option<Instant>>,
}

impl Proxy {
    /// Starts a proxy to 127.0.0.1:`broker`.
    ///
    /// # Errors
    /// If no port is free.
    pub(super) fn start(broker: u16, link: Arc<Link>) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port for a proxy")?;
        let address = listener.local_addr().context("no address of a proxy")?;
        let shared = Arc::new(Shared {
            link,
            broker: SocketAddr::from((Ipv4Addr::LOCALHOST, broker)),
            stop: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || {
            for boat in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Relaxed) {
                    break;
                }
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(boat));
            }
        });
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where boats connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections.
    pub(super) fn close_connections(&self) {
        self.shared.connections().iter().for_each(|c| c.end());
    }

    /// How many connections are still open that were damaged longer than `ago`: TLS should have ended
    /// them.
    pub(super) fn survivors(&self, ago: Duration) -> usize {
        let connections = self.shared.connections();
        let survives = |c: &&Arc<Connection>| {
            let damaged = *lock(&c.damaged);
            !c.ended.load(Relaxed) && damaged.is_some_and(|at| at.elapsed() > ago)
        };
        connections.iter().filter(survives).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.close_connections();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        lock(&self.connections)
    }

    /// Serves a connection until it ends. Errors end it, as on a real link.
    fn serve(&self, boat: TcpStream) {
        if self.link.is_cut() {
            return;
        }
        let Ok(broker) = TcpStream::connect_timeout(&self.broker, CONNECT_TIMEOUT) else {
            return;
        };
        let _ = (boat.set_nodelay(true), broker.set_nodelay(true));
        let connection = Arc::new(Connection {
            boat,
            broker,
            ended: AtomicBool::new(false),
            damaged: Mutex::new(None),
        });
        {
            let mut connections = self.connections();
            connections.retain(|c| !c.ended.load(Relaxed));
            connections.push(connection.clone());
        }
        // A cut or the end of the proxy between the first lines and here found no connection to close.
        if self.link.is_cut() || self.stop.load(Relaxed) {
            connection.end();
        }
        let (boat, broker) = (&connection.boat, &connection.broker);
        std::thread::scope(|scope| {
            for (direction, from, to) in [
                (Direction::Up, boat, broker),
                (Direction::Down, broker, boat),
            ] {
                let (sender, receiver) = sync_channel(WAITING);
                scope.spawn(move || read(from, &sender));
                let passing = Passing {
                    link: &self.link,
                    direction,
                    connection: &connection,
                };
                scope.spawn(move || passing.pass_all(&receiver, to));
            }
        });
        connection.end();
    }
}

impl Connection {
    /// Closes both sides. Bytes that wait in the proxy are lost.
    fn end(&self) {
        self.ended.store(true, Relaxed);
        let _ = self.boat.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

/// Reads until the end of the stream.
fn read(mut from: &TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>) {
    let mut bytes = [0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if sender
            .send((Instant::now(), bytes[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// A direction of a connection.
struct Passing<'a> {
    link: &'a Link,
    direction: Direction,
    connection: &'a Connection,
}

impl Passing<'_> {
    /// Passes on what is read, until the stream or the connection ends.
    fn pass_all(&self, receiver: &Receiver<(Instant, Vec<u8>)>, to: &TcpStream) {
        let mut passed = 0;
        let mut recent = VecDeque::with_capacity(REPLAYED + CHUNK);
        while let Ok((read_at, mut bytes)) = receiver.recv() {
            let damage = if passed >= HANDSHAKE {
                self.link.take_damage(self.direction)
            } else {
                None
            };
            passed += bytes.len();
            match damage {
                None => {}
                Some(Damage::Corrupt(salt)) => corrupt(&mut bytes, salt),
                // A stretch that begins and ends with a read, as an attacker would record it.
                Some(Damage::Replay) => bytes.extend(&recent),
            }
            if damage.is_some() {
                lock(&self.connection.damaged).get_or_insert_with(Instant::now);
            }
            recent.extend(&bytes);
            let surplus = recent.len().saturating_sub(REPLAYED);
            recent.drain(..surplus);
            if !self.pass(read_at, &bytes, to) {
                break;
            }
        }
        // The other side learns that nothing more comes, and ends its direction as well.
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Passes on `bytes`; false if the connection has ended.
    fn pass(&self, read_at: Instant, bytes: &[u8], mut to: &TcpStream) -> bool {
        let mut left = bytes;
        while !left.is_empty() {
            if self.connection.ended.load(Relaxed) {
                return false;
            }
            let passage = self.link.passage();
            if passage.silent || read_at.elapsed() < passage.delay {
                std::thread::sleep(POLL);
                continue;
            }
            let slice = passage.bytes_per_second.map_or(left.len(), |rate| {
                left.len().min((rate / SLICES).max(1) as usize)
            });
            let (now, later) = left.split_at(slice);
            if to.write_all(now).is_err() {
                self.connection.end();
                return false;
            }
            if let Some(rate) = passage.bytes_per_second {
                std::thread::sleep(Duration::from_secs(1) * slice as u32 / rate.max(1));
            }
            left = later;
        }
        true
    }
}

/// Changes the bit that `salt` chooses.
fn corrupt(bytes: &mut [u8], salt: u64) {
    let bits = bytes.len() as u64 * 8;
    if let Some(bit) = salt.checked_rem(bits) {
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::{Condition, LinkSettings};
    use super::*;

    const SETTINGS: LinkSettings = LinkSettings {
        delay: Duration::from_millis(80),
        bytes_per_second: 1000,
    };

    /// A proxy, the boat's end of a connection through it, and the broker's end.
    struct Connected {
        link: Arc<Link>,
        proxy: Proxy,
        boat: TcpStream,
        broker: TcpStream,
    }

    fn connected() -> Connected {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Arc::new(Link::new(SETTINGS));
        let proxy = Proxy::start(listener.local_addr().unwrap().port(), link.clone()).unwrap();
        let boat = TcpStream::connect(proxy.address()).unwrap();
        let (broker, _) = listener.accept().unwrap();
        for stream in [&boat, &broker] {
            let timeout = Some(Duration::from_secs(20));
            stream.set_read_timeout(timeout).unwrap();
        }
        Connected {
            link,
            proxy,
            boat,
            broker,
        }
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * 31 % 251) as u8).collect()
    }

    fn receive(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut received = vec![0; count];
        stream.read_exact(&mut received).unwrap();
        received
    }

    /// Passes what every connection must pass before it is damaged.
    fn pass_handshake(c: &mut Connected) -> Vec<u8> {
        let handshake = bytes(HANDSHAKE);
        c.boat.write_all(&handshake).unwrap();
        assert_eq!(receive(&mut c.broker, HANDSHAKE), handshake);
        handshake
    }

    #[test]
    fn bytes_pass_unchanged_in_both_directions() {
        let mut c = connected();
        let (up, down) = (bytes(100_000), bytes(70_001));
        let (mut boat, sent) = (c.boat.try_clone().unwrap(), up.clone());
        let sender = std::thread::spawn(move || boat.write_all(&sent).unwrap());
        assert!(receive(&mut c.broker, up.len()) == up);
        sender.join().unwrap();
        c.broker.write_all(&down).unwrap();
        drop(c.broker);
        let mut received = vec![];
        c.boat.read_to_end(&mut received).unwrap();
        assert!(received == down);
    }

    #[test]
    fn a_cut_link_closes_connections_and_accepts_none() {
        let mut c = connected();
        c.link.begin(Condition::Cut);
        c.proxy.close_connections();
        assert_eq!(c.boat.read(&mut [0]).unwrap_or_default(), 0);
        assert_eq!(c.broker.read(&mut [0]).unwrap_or_default(), 0);
        let mut another = TcpStream::connect(c.proxy.address()).unwrap();
        assert_eq!(another.read(&mut [0]).unwrap_or_default(), 0);
    }

    #[test]
    fn a_delayed_link_passes_bytes_later() {
        let mut c = connected();
        c.link.begin(Condition::Delayed);
        let sent = Instant::now();
        c.boat.write_all(b"late").unwrap();
        assert_eq!(receive(&mut c.broker, 4), b"late");
        assert!(sent.elapsed() >= SETTINGS.delay);
    }

    #[test]
    fn a_throttled_link_passes_so_many_bytes_a_second() {
        let mut c = connected();
        c.link.begin(Condition::Throttled);
        let (sent, slow) = (Instant::now(), bytes(300));
        c.boat.write_all(&slow).unwrap();
        assert_eq!(receive(&mut c.broker, 300), slow);
        // The last of three slices has been written, and not waited for.
        assert!(sent.elapsed() >= Duration::from_millis(200));
    }

    #[test]
    fn a_silent_link_passes_bytes_when_the_silence_ends() {
        let mut c = connected();
        c.link.begin(Condition::Silent);
        c.boat.write_all(b"held").unwrap();
        let short = Some(Duration::from_millis(100));
        c.broker.set_read_timeout(short).unwrap();
        assert!(c.broker.read(&mut [0]).is_err());
        c.link.end(Condition::Silent);
        let long = Some(Duration::from_secs(20));
        c.broker.set_read_timeout(long).unwrap();
        assert_eq!(receive(&mut c.broker, 4), b"held");
    }

    #[test]
    fn one_bit_is_corrupted_after_the_handshake() {
        let mut c = connected();
        c.link.damage(Direction::Up, Damage::Corrupt(13));
        pass_handshake(&mut c);
        assert_eq!(c.link.damages(), 0);
        c.boat.write_all(b"abc").unwrap();
        assert_eq!(receive(&mut c.broker, 3), [b'a', b'b' ^ 0x20, b'c']);
        c.boat.write_all(b"abc").unwrap();
        assert_eq!(receive(&mut c.broker, 3), b"abc");
        assert_eq!(c.link.damages(), 1);
        assert_eq!(c.proxy.survivors(Duration::ZERO), 1);
        assert_eq!(c.proxy.survivors(Duration::from_secs(60)), 0);
    }

    #[test]
    fn what_passed_is_replayed_once() {
        let mut c = connected();
        let handshake = pass_handshake(&mut c);
        c.link.damage(Direction::Up, Damage::Replay);
        c.boat.write_all(b"abc").unwrap();
        assert_eq!(receive(&mut c.broker, 3), b"abc");
        assert_eq!(receive(&mut c.broker, HANDSHAKE), handshake);
        c.boat.write_all(b"def").unwrap();
        assert_eq!(receive(&mut c.broker, 3), b"def");
    }

    #[test]
    fn every_bit_can_be_corrupted() {
        for salt in 0..24 {
            let mut bytes = [0; 3];
            corrupt(&mut bytes, salt);
            let ones: u32 = bytes.iter().map(|b| b.count_ones()).sum();
            assert_eq!(ones, 1, "{salt}");
        }
        corrupt(&mut [], 5);
    }
}
