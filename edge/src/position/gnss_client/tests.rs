use super::*;
use crate::time::{ManualMonotonicClock, MonotonicTimestamp, UtcClock};
use flukewatch_common::clock::{ManualClock, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

/// What the connection does.
enum Event {
    Refused,
    Connected,
    Bytes(&'static [u8]),
    /// Nothing for the given seconds.
    Silence(u64),
    Closed,
    Panic,
    /// The test is over.
    Stop,
}
use Event::{Bytes, Closed, Connected, Panic, Refused, Silence};

#[derive(Clone)]
struct Script {
    events: Arc<Mutex<VecDeque<Event>>>,
    clock: Arc<ManualMonotonicClock>,
    stop: CancellationToken,
}

impl Script {
    fn next(&self) -> Event {
        self.events
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Event::Stop)
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the test")
    }
}

impl Connector for Script {
    fn connect(&mut self) -> io::Result<Box<dyn Transport>> {
        match self.next() {
            Connected => Ok(Box::new(self.clone())),
            Refused => Err(io::Error::other("refused")),
            _ => {
                self.stop.cancel();
                Err(io::Error::other("over"))
            }
        }
    }
}

impl Transport for Script {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Received> {
        match self.next() {
            Bytes(bytes) => {
                into[..bytes.len()].copy_from_slice(bytes);
                Ok(Received::Bytes(bytes.len()))
            }
            Silence(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                Ok(Received::Nothing)
            }
            Closed => Ok(Received::Closed),
            Panic => panic!("on purpose"),
            _ => {
                self.stop.cancel();
                Ok(Received::Nothing)
            }
        }
    }
}

/// Plays `script` to its end.
fn played(
    protocol: Protocol,
    script: Vec<Event>,
) -> (Arc<PositionHistory>, Arc<ManualMonotonicClock>) {
    let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp::from_millis(
        1000,
    )));
    let stop = CancellationToken::default();
    let connector = Script {
        events: Arc::new(Mutex::new(script.into())),
        clock: clock.clone(),
        stop: stop.clone(),
    };
    let positions = Arc::new(PositionHistory::new(Duration::from_secs(60), true));
    let computer = Arc::new(ManualClock::new(Timestamp(0)));
    let utc_clock = Arc::new(UtcClock::new(computer, clock.clone()));
    let client = GnssClient {
        connector: Box::new(connector),
        protocol,
        timeout: Duration::from_secs(10),
        fix_assembler: FixAssembler::new(positions.clone(), utc_clock),
        positions: positions.clone(),
        clock: clock.clone(),
        backoff: Backoff::new(Duration::from_millis(2), Box::new(StdRng::seed_from_u64(1))),
        stop,
    };
    client.run();
    (positions, clock)
}

const GGA: &[u8] = b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*73\r\n";

#[test]
fn the_sentence_of_the_test_is_valid() {
    let (positions, clock) = played(Protocol::Nmea, vec![Connected, Bytes(GGA)]);
    assert_eq!(positions.health(&*clock).fixes, 1);
}

#[test]
fn a_receiver_is_reconnected_until_it_answers_and_after_it_closes() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![
            Refused,
            Refused,
            Connected,
            Bytes(GGA),
            Closed,
            Refused,
            Connected,
            Bytes(&GGA[..20]),
            Bytes(&GGA[20..]),
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
fn a_silent_receiver_times_out_and_is_reconnected() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![Connected, Bytes(GGA), Silence(6), Silence(6), Refused],
    );
    let health = positions.health(&*clock);
    // The last attempt was refused.
    assert_eq!(health.state, "connecting");
    assert_eq!(health.fix_milliseconds_ago, Some(12_000));
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![Connected, Bytes(GGA), Silence(12), Connected, Silence(1)],
    );
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.connections),
        ("timed_out", 2)
    );
    assert_eq!(
        health.trouble.as_deref(),
        Some("the test: no data within 10 s")
    );
}

#[test]
fn bytes_without_sentences_are_reported() {
    let garbage = b"\x86\x1f\xf8\n\xe6\x66\n";
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![
            Connected,
            Bytes(garbage),
            Silence(6),
            Bytes(garbage),
            Silence(6),
            Connected,
        ],
    );
    let health = positions.health(&*clock);
    let trouble = health.trouble.unwrap();
    assert!(trouble.contains("baud rate"), "{trouble}");
    assert_eq!(
        (health.state.as_str(), health.damaged, health.skipped_bytes),
        ("timed_out", 0, 10)
    );
}

/// The trouble of a receiver that sends `bytes` again and again.
fn trouble(protocol: Protocol, bytes: &'static [u8]) -> String {
    let (positions, clock) = played(
        protocol,
        vec![
            Connected,
            Bytes(bytes),
            Silence(6),
            Bytes(bytes),
            Silence(6),
            Connected,
        ],
    );
    positions.health(&*clock).trouble.unwrap()
}

#[test]
fn the_hint_fits_the_bytes() {
    let nmea = |bytes| trouble(Protocol::Nmea, bytes);
    let bare = nmea(b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,\r\n");
    assert!(
        bare.contains("checksum") && !bare.contains("baud"),
        "{bare}"
    );
    let wrong = nmea(b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*00\r\n");
    assert!(
        wrong.contains("damaged") && !wrong.contains("baud"),
        "{wrong}"
    );
    let gpsd = trouble(Protocol::Gpsd, b"SSH-2.0-OpenSSH\r\n");
    assert!(
        gpsd.contains("gpsd runs") && !gpsd.contains("baud"),
        "{gpsd}"
    );
}

#[test]
fn legal_sentences_without_a_fix_keep_the_connection() {
    for legal in [
        b"$GPRMC,,V,,N,,E,,,,,,N*58\r\n".as_slice(),
        b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n",
        b"$GPRMC,what,is,this*71\r\n",
    ] {
        let script = [Connected]
            .into_iter()
            .chain((0..9).flat_map(|_| [Bytes(legal), Silence(6)]));
        let (positions, clock) = played(Protocol::Nmea, script.collect());
        let health = positions.health(&*clock);
        assert_eq!(
            (
                health.state.as_str(),
                health.trouble,
                health.damaged,
                health.connections,
                health.sentences
            ),
            ("no_fix", None, 0, 1, 9)
        );
    }
}

#[test]
fn sentences_without_a_checksum_are_reported_beside_valid_ones() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![
            Connected,
            Bytes(b"$GPRMC,162000.000,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A\r\n"),
            Bytes(b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"),
        ],
    );
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.without_checksum),
        ("no_fix", 1)
    );
    assert!(health.trouble.unwrap().contains("switch on checksums"));
}

#[test]
fn each_device_of_gpsd_is_a_source() {
    let without = br#"{"class":"TPV","device":"/dev/ttyUSB1","mode":1}"#;
    let with = br#"{"class":"TPV","device":"/dev/ttyUSB0","mode":3,"lat":38.5,"lon":-28.5}"#;
    let lines: Vec<u8> = [with.as_slice(), b"\n", without, b"\n"].concat().repeat(3);
    let (positions, clock) = played(Protocol::Gpsd, vec![Connected, Bytes(lines.leak())]);
    let health = positions.health(&*clock);
    let sources: Vec<(&str, &str)> = health
        .sources
        .iter()
        .map(|s| (s.name.as_str(), s.state.as_str()))
        .collect();
    assert_eq!(
        (health.state.as_str(), sources),
        (
            "fix",
            vec![("/dev/ttyUSB0", "fix"), ("/dev/ttyUSB1", "no_fix")]
        )
    );
}

#[test]
fn a_damaged_sentence_does_not_affect_others() {
    let mut damaged = GGA.to_vec();
    damaged[25] ^= 1;
    let damaged: &'static [u8] = damaged.leak();
    let (positions, clock) = played(Protocol::Nmea, vec![Connected, Bytes(damaged), Bytes(GGA)]);
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.damaged, health.sentences),
        ("fix", 1, 1)
    );
}

#[test]
fn gpsd_is_read() {
    let (positions, clock) = played(
        Protocol::Gpsd,
        vec![
            Connected,
            Bytes(b"{\"class\":\"VERSION\",\"release\":\"3.25\"}\r\n"),
            Bytes(b"{\"class\":\"SKY\",\"uSat\":8}\r\n{\"class\":\"TPV\",\"mode\":3,\"lat\":38.5,"),
            Bytes(b"\"lon\":-28.5}\r\n"),
        ],
    );
    let health = positions.health(&*clock);
    assert_eq!((health.state.as_str(), health.satellites), ("fix", Some(8)));
}

#[test]
fn a_panic_is_counted_and_ends_only_its_connection() {
    let (positions, clock) = played(
        Protocol::Nmea,
        vec![Connected, Bytes(GGA), Panic, Connected],
    );
    let health = positions.health(&*clock);
    assert_eq!((health.panics, health.state.as_str()), (1, "connecting"));
    assert!(health.trouble.unwrap().contains("internal error"));
    let script = vec![Connected, Panic, Connected, Panic, Connected, Bytes(GGA)];
    let (positions, clock) = played(Protocol::Nmea, script);
    let health = positions.health(&*clock);
    assert_eq!(
        (health.panics, health.state.as_str(), health.trouble),
        (2, "fix", None)
    );
}

const HELLO: &[u8] = b"{\"name\":\"signalk-server\",\"version\":\"2.19.1\",\"self\":\"vessels.urn:mrn:imo:mmsi:263403470\"}\r\n";

#[test]
fn signal_k_is_read_and_its_problems_are_reported() {
    let position = |second: u32| {
        let line = format!(
            "{{\"context\":\"vessels.urn:mrn:imo:mmsi:263403470\",\"updates\":[{{\"$source\":\"n2k.43\",\"timestamp\":\"2026-11-23T16:20:{second:02}Z\",\"values\":[{{\"path\":\"navigation.position\",\"value\":{{\"latitude\":38.5,\"longitude\":-28.5}}}}]}}]}}\r\n"
        );
        let line: &'static [u8] = line.into_bytes().leak();
        Bytes(line)
    };
    let other = b"{\"context\":\"vessels.urn:mrn:imo:mmsi:230029970\",\"updates\":[]}\r\n";
    let script = vec![
        Connected,
        Bytes(HELLO),
        position(1),
        position(2),
        Bytes(other),
    ];
    let (positions, clock) = played(Protocol::SignalK, script);
    let health = positions.health(&*clock);
    assert_eq!(
        (health.state.as_str(), health.sentences, health.ignored),
        ("fix", 4, 2)
    );
    assert_eq!(
        (health.fixes, health.sources[0].name.as_str()),
        (1, "n2k.43")
    );
    // The server still remembers the position after a reconnection.
    let script = vec![
        Connected,
        Bytes(HELLO),
        position(1),
        Closed,
        Connected,
        Bytes(HELLO),
        position(1),
    ];
    let (positions, clock) = played(Protocol::SignalK, script);
    assert_eq!(positions.health(&*clock).fixes, 0);

    let http = trouble(Protocol::SignalK, b"HTTP/1.1 400 Bad Request\r\n");
    assert!(http.contains("8375"), "{http}");
    let script = vec![Connected, Bytes(HELLO), Silence(12), Connected];
    let (positions, clock) = played(Protocol::SignalK, script);
    let quiet = positions.health(&*clock).trouble.unwrap();
    assert!(quiet.contains("no data within 10 s; check in"), "{quiet}");
}
