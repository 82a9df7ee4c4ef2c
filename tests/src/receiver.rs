//! A GNSS receiver in the network, for boats with `source = "nmea-tcp"` or `"gpsd"`.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two blocks of sentences, by the receiver's time and by the test's clock.
const INTERVAL: Duration = Duration::from_millis(200);

/// A receiver that sends a block of sentences every 0.2 s to whoever connects.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts a receiver at 16:20:00 UTC; `block` is what it sends at a time `hhmmss.ss`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(block: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut connections: Vec<TcpStream> = vec![];
            let mut hundredths = 0;
            while !stopped.load(Ordering::Relaxed) {
                connections.extend(listener.accept().ok().map(|(stream, _)| stream));
                let seconds = hundredths / 100;
                let time = format!(
                    "16{:02}{:02}.{:02}",
                    20 + seconds / 60,
                    seconds % 60,
                    hundredths % 100
                );
                let bytes = block(&time);
                connections.retain_mut(|stream| stream.write_all(&bytes).is_ok());
                std::thread::sleep(INTERVAL);
                hundredths += 20;
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// The section `[position]` of a boat with this receiver.
    pub fn section(&self, source: &str) -> String {
        format!(
            "\n[position]\nsource = \"{source}\"\naddress = \"{}\"\ntimeout_seconds = 2.0\n",
            self.address
        )
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A sentence with its checksum and a line end.
pub fn sentence(content: &str) -> String {
    let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${content}*{sum:02X}\r\n")
}
