//! A GNSS receiver whose time can be stepped. The boat takes its time from it, so that this steps the
//! clock of one boat and of nothing else on this machine.

use anyhow::Context;
use jiff::{SignedDuration, Timestamp, tz::Offset};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two sentences. A boat believes another time after a few of them.
const INTERVAL: Duration = Duration::from_millis(250);

/// A receiver on a free port of this machine, which sends NMEA 0183 to whoever connects.
pub(super) struct GnssReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    ahead_seconds: AtomicI64,
}

impl GnssReceiver {
    /// Starts a receiver with the right time.
    ///
    /// # Errors
    /// If no port is free.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("no free port for a GNSS receiver")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let sending = shared.clone();
        let thread = std::thread::spawn(move || {
            let mut connections: Vec<TcpStream> = vec![];
            while !sending.stop.load(Relaxed) {
                connections.extend(listener.accept().ok().map(|(stream, _)| stream));
                let ahead = SignedDuration::from_secs(sending.ahead_seconds.load(Relaxed));
                let time = Timestamp::now().checked_add(ahead);
                let text = sentence(time.unwrap_or_else(|_| Timestamp::now()));
                connections.retain_mut(|stream| stream.write_all(text.as_bytes()).is_ok());
                std::thread::sleep(INTERVAL);
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

    /// Steps its time to so many seconds after the right one.
    pub(super) fn step(&self, ahead_seconds: i64) {
        self.shared.ahead_seconds.store(ahead_seconds, Relaxed);
    }
}

impl Drop for GnssReceiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The sentence RMC: time, date and a position off the Azores.
fn sentence(time: Timestamp) -> String {
    let utc = Offset::UTC.to_datetime(time);
    let content = format!(
        "GPRMC,{:02}{:02}{:02}.{:02},A,3830.7380,N,02837.5000,W,6.5,270.0,{:02}{:02}{:02},,,A",
        utc.hour(),
        utc.minute(),
        utc.second(),
        utc.millisecond() / 10,
        utc.day(),
        utc.month(),
        utc.year() % 100
    );
    let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${content}*{sum:02X}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_sentence_worked_by_hand() {
        let time: Timestamp = "2026-11-23T16:20:00.5Z".parse().unwrap();
        let content = "GPRMC,162000.50,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A";
        let said = sentence(time);
        assert!(
            said.starts_with(&format!("${content}*")) && said.ends_with("\r\n"),
            "{said}"
        );
        // The XOR of everything between '$' and '*', itself included, is zero.
        let sum = u8::from_str_radix(said.trim_end().split_once('*').unwrap().1, 16).unwrap();
        assert_eq!(content.bytes().fold(sum, |a, b| a ^ b), 0);
    }

    #[test]
    fn its_time_can_be_stepped() {
        let receiver = GnssReceiver::start().unwrap();
        receiver.step(-400 * 86_400);
        let stream = TcpStream::connect(receiver.address()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next().unwrap().unwrap();
        let year = Offset::UTC.to_datetime(Timestamp::now()).year() % 100;
        let date = line.split(',').nth(9).unwrap();
        assert_ne!(date[4..], format!("{year:02}"));
    }
}
