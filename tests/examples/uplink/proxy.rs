//! A TCP proxy on the loopback address that counts bytes, and can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Condition {
    /// Everything.
    Open,
    /// Nothing: connections are closed, also new ones.
    Closed,
    /// Nothing, and neither side learns of it.
    Silent,
}

#[derive(Debug)]
struct Shared {
    condition: AtomicU8,
    /// From boat to broker.
    up: AtomicU64,
    /// From broker to boat.
    down: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

/// A running proxy; its threads end with the process.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Arc::new(Shared {
            condition: AtomicU8::new(Condition::Open as u8),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            for boat in listener.incoming().flatten() {
                if !shared.is(Condition::Closed) {
                    shared.serve(&boat, broker);
                }
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, condition: Condition) {
        self.shared.condition.store(condition as u8, SeqCst);
        if condition == Condition::Closed {
            for stream in self.shared.open.lock().unwrap().drain(..) {
                // It may have ended already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Bytes so far: from boat to broker, and back.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.shared.up.load(SeqCst), self.shared.down.load(SeqCst))
    }
}

impl Shared {
    fn is(&self, condition: Condition) -> bool {
        self.condition.load(SeqCst) == condition as u8
    }

    fn serve(self: &Arc<Self>, boat: &TcpStream, broker: SocketAddr) {
        let Ok(broker) = TcpStream::connect(broker) else {
            return;
        };
        for stream in [boat, &broker] {
            stream.set_nodelay(true).unwrap();
            self.open.lock().unwrap().push(stream.try_clone().unwrap());
        }
        let (from_boat, from_broker) = (boat.try_clone().unwrap(), broker.try_clone().unwrap());
        let (to_boat, to_broker) = (boat.try_clone().unwrap(), broker);
        let up = Arc::clone(self);
        std::thread::spawn(move || up.copy(from_boat, to_broker, &up.up));
        let down = Arc::clone(self);
        std::thread::spawn(move || down.copy(from_broker, to_boat, &down.down));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(read) = from.read(&mut bytes) {
            while self.is(Condition::Silent) {
                std::thread::sleep(Duration::from_millis(10));
            }
            count.fetch_add(read as u64, SeqCst);
            if read == 0 || to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        // It may have ended already.
        let _ = to.shutdown(Shutdown::Both);
    }
}
