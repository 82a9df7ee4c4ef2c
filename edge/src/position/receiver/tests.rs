use super::*;
use crate::time::{ManualSteadyClock, Moment, Timekeeper};
use flukewatch_common::clock::{ManualClock, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

/// What happens on the line.
enum Happens {
    Refused,
    Connected,
    Says(&'static [u8]),
    /// Nothing, for so many seconds.
    Quiet(u64),
    Closed,
    /// The test is over.
    Stop,
}
use Happens::{Closed, Connected, Quiet, Refused, Says};

#[derive(Clone)]
struct Script {
    happens: Arc<Mutex<VecDeque<Happens>>>,
    clock: Arc<ManualSteadyClock>,
    stop: Stop,
}

impl Script {
    fn next(&self) -> Happens {
        self.happens
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Happens::Stop)
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the test")
    }
}

impl Dial for Script {
    fn dial(&mut self) -> io::Result<Box<dyn Link>> {
        match self.next() {
            Connected => Ok(Box::new(self.clone())),
            Refused => Err(io::Error::other("refused")),
            _ => {
                self.stop.ask();
                Err(io::Error::other("over"))
            }
        }
    }
}

impl Link for Script {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        match self.next() {
            Says(bytes) => {
                into[..bytes.len()].copy_from_slice(bytes);
                Ok(Received::Bytes(bytes.len()))
            }
            Quiet(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                Ok(Received::Nothing)
            }
            Closed => Ok(Received::Closed),
            _ => {
                self.stop.ask();
                Ok(Received::Nothing)
            }
        }
    }
}

/// Plays `script` to its end; what health then says.
fn played(protocol: Protocol, script: Vec<Happens>) -> (Arc<Positions>, Arc<ManualSteadyClock>) {
    let clock = Arc::new(ManualSteadyClock::new(Moment::from_millis(1000)));
    let stop = Stop::default();
    let dial = Script {
        happens: Arc::new(Mutex::new(script.into())),
        clock: clock.clone(),
        stop: stop.clone(),
    };
    let positions = Arc::new(Positions::new(Duration::from_secs(60), true));
    let computer = Arc::new(ManualClock::new(Timestamp(0)));
    let keeper = Arc::new(Timekeeper::new(computer, clock.clone()));
    let receiver = Receiver {
        dial: Box::new(dial),
        protocol,
        silent_after: Duration::from_secs(10),
        navigator: Navigator::new(positions.clone(), keeper),
        positions: positions.clone(),
        clock: clock.clone(),
        backoff: Backoff::new(Duration::from_millis(2), Box::new(StdRng::seed_from_u64(1))),
        stop,
    };
    receiver.run();
    (positions, clock)
}

const GGA: &[u8] = b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*73\r\n";

#[test]
fn the_test_s_sentence_is_whole() {
    assert!(sentence::parse(GGA).is_ok());
}

#[test]
fn a_receiver_is_called_until_it_answers_and_again_when_it_hangs_up() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![
            Refused,
            Refused,
            Connected,
            Says(GGA),
            Closed,
            Refused,
            Connected,
            Says(&GGA[..20]),
            Says(&GGA[20..]),
        ],
    );
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.connections, health.sentences),
        ("fix", 2, 2)
    );
    assert_eq!(
        (health.latitude, health.longitude),
        (Some(38.5), Some(-28.5))
    );
}

#[test]
fn a_silent_receiver_shows_in_health_and_is_called_anew() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![Connected, Says(GGA), Quiet(6), Quiet(6), Refused],
    );
    let health = positions.health(&*clock);
    // The last attempt was refused.
    assert_eq!(health.state, "connecting");
    assert_eq!(health.fix_milliseconds_ago, Some(12_000));
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![Connected, Says(GGA), Quiet(12), Connected, Quiet(1)],
    );
    let health = positions.health(&*clock);
    assert_eq!((health.state.as_str(), health.connections), ("silent", 2));
    assert_eq!(
        health.trouble.as_deref(),
        Some("the test: nothing for 10 s")
    );
}

#[test]
fn bytes_that_are_no_sentences_are_called_so() {
    let rubbish = b"\x86\x1f\xf8\n\xe6\x66\n";
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![
            Connected,
            Says(rubbish),
            Quiet(6),
            Says(rubbish),
            Quiet(6),
            Connected,
        ],
    );
    let health = positions.health(&*clock);
    let trouble = health.trouble.unwrap();
    assert!(trouble.contains("baud rate"), "{trouble}");
    assert_eq!((health.state.as_str(), health.damaged), ("silent", 4));
}

#[test]
fn one_damaged_sentence_costs_itself_alone() {
    let mut damaged = GGA.to_vec();
    damaged[25] ^= 1;
    let damaged: &'static [u8] = damaged.leak();
    let (positions, clock) = played(Protocol::Nmea, vec![Connected, Says(damaged), Says(GGA)]);
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.damaged, health.sentences),
        ("fix", 1, 1)
    );
}

#[test]
fn gpsd_is_understood() {
    let (positions, clock) = played(
        Protocol::Gpsd,
        vec![
            Connected,
            Says(b"{\"class\":\"VERSION\",\"release\":\"3.25\"}\r\n"),
            Says(b"{\"class\":\"SKY\",\"uSat\":8}\r\n{\"class\":\"TPV\",\"mode\":3,\"lat\":38.5,"),
            Says(b"\"lon\":-28.5}\r\n"),
        ],
    );
    let health = positions.health(&*clock);
    assert_eq!((health.state.as_str(), health.satellites), ("fix", Some(8)));
}
