//! Replays recorded logs of real GNSS receivers through the boat's own reader.
//!
//! Reads every `*.log` in the folder that FLUKEWATCH_RECEIVER_LOGS names, by default `shared/nmea`
//! next to the checkout, and compares what the boat makes of it with an independent scan. With
//! `--nocapture` it prints a line for each log.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_edge::backoff::Backoff;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::position::transport::{Connector, Received, Transport};
use flukewatch_edge::position::{
    FixAssembler, GnssClient, PositionHealth, PositionHistory, Protocol,
};
use flukewatch_edge::time::{
    DateWindow, ManualMonotonicClock, MonotonicTimestamp, TimeStatus, UtcClock,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FOLDER: &str = "FLUKEWATCH_RECEIVER_LOGS";
const HOUR: i64 = 3_600_000;

/// What an independent scan finds in a log.
#[derive(Debug, Default)]
struct Scan {
    /// Sentences with a valid checksum.
    sentences: u64,
    positions: Vec<(f64, f64)>,
    /// Dates as `ddmmyy`, in their order.
    dates: Vec<String>,
}

impl Scan {
    fn of(log: &[u8]) -> Self {
        let mut scan = Self::default();
        for (start, _) in log.iter().enumerate().filter(|(_, byte)| **byte == b'$') {
            let rest = &log[start + 1..log.len().min(start + 1000)];
            if let Some(content) = checked(rest) {
                scan.sentences += 1;
                scan.add(&content.split(',').map(str::trim).collect::<Vec<_>>());
            }
        }
        scan
    }

    fn add(&mut self, fields: &[&str]) {
        let field = |number: usize| fields.get(number).copied().unwrap_or_default();
        let kind = match fields[0] {
            address if address.len() == 5 && !address.starts_with('P') => &address[2..],
            _ => return,
        };
        let (has_fix, first) = match kind {
            "RMC" => (matches!(field(2), "A" | "D") && field(12) != "N", 3),
            "GLL" => (field(6) == "A" && field(7) != "N", 1),
            "GGA" => (field(6).parse::<u8>().is_ok_and(|q| q > 0), 2),
            "GNS" => (field(6).contains(|mode| mode != 'N'), 2),
            _ => (false, 0),
        };
        let angle = |at: usize, negative: &str| {
            let value: f64 = field(at).parse().ok()?;
            let degrees = (value / 100.0).floor();
            let degrees = degrees + (value - degrees * 100.0) / 60.0;
            Some(if field(at + 1) == negative {
                -degrees
            } else {
                degrees
            })
        };
        if has_fix && let Some(position) = angle(first, "S").zip(angle(first + 2, "W")) {
            let valid = |(north, east): &(f64, f64)| {
                north.abs() <= 90.0 && east.abs() <= 180.0 && (*north, *east) != (0.0, 0.0)
            };
            self.positions.extend(Some(position).filter(valid));
        }
        match kind {
            "RMC" => self.dates.push(field(9).to_owned()),
            "ZDA" if field(4).len() == 4 => {
                self.dates.push(format!(
                    "{:0>2}{:0>2}{}",
                    field(2),
                    field(3),
                    &field(4)[2..]
                ));
            }
            _ => {}
        }
    }

    /// The most frequent date, as `yyyy-mm-dd`.
    fn usual_date(&self) -> Option<jiff::civil::Date> {
        let count = |date: &&String| self.dates.iter().filter(|d| d == date).count();
        let date = self
            .dates
            .iter()
            .filter(|d| d.len() == 6)
            .max_by_key(count)?;
        let number = |at: usize| date[at..at + 2].parse::<i8>().ok();
        let year = i16::from(number(4)?);
        let century = if year < 80 { 2000 } else { 1900 };
        jiff::civil::Date::new(century + year, number(2)?, number(0)?).ok()
    }
}

/// The content of a sentence at the start of `bytes`, if its checksum is valid.
fn checked(bytes: &[u8]) -> Option<&str> {
    let end = bytes
        .iter()
        .position(|b| matches!(b, b'*' | b'$' | b'\r' | b'\n'))?;
    let content = std::str::from_utf8(&bytes[..end])
        .ok()
        .filter(|c| c.is_ascii())?;
    let digits = std::str::from_utf8(bytes.get(end..end + 3)?).ok()?;
    let stated = u8::from_str_radix(digits.strip_prefix('*')?, 16).ok()?;
    (content.bytes().fold(0, |sum, byte| sum ^ byte) == stated).then_some(content)
}

/// What the boat makes of a log.
#[derive(Debug)]
struct Replayed {
    health: PositionHealth,
    time: TimeStatus,
    /// Every position that differs from the one before.
    positions: Vec<(f64, f64)>,
    /// Every date that differs from the one before, in milliseconds, while GNSS time is used.
    times: Vec<Timestamp>,
}

#[derive(Clone)]
struct Log {
    bytes: Arc<[u8]>,
    piece: usize,
    replayed: Arc<Mutex<Progress>>,
    clock: Arc<ManualMonotonicClock>,
    positions: Arc<PositionHistory>,
    utc_clock: Arc<UtcClock>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Progress {
    at: usize,
    /// Seconds of the day of the last sentence with a time.
    second: Option<i64>,
    positions: Vec<(f64, f64)>,
    times: Vec<Timestamp>,
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a log")
    }
}

impl Connector for Log {
    fn connect(&mut self) -> std::io::Result<Box<dyn Transport>> {
        Ok(Box::new(self.clone()))
    }
}

impl Log {
    /// Records what the boat has made of the bytes so far.
    fn record(&self, progress: &mut Progress) {
        let position = self.positions.last().map(|f| (f.latitude, f.longitude));
        if let Some(position) = position.filter(|p| progress.positions.last() != Some(p)) {
            progress.positions.push(position);
        }
        if self.utc_clock.status().source == "gnss" {
            progress.times.push(self.utc_clock.now());
        }
    }

    /// Lets the time pass that the sentence at the start of `rest` states.
    fn pass(&self, rest: &[u8], progress: &mut Progress) {
        let content = rest
            .strip_prefix(b"$")
            .and_then(checked)
            .unwrap_or_default();
        let fields: Vec<&str> = content.split(',').collect();
        let time = match content.get(2..5) {
            Some("RMC" | "GGA" | "GNS" | "ZDA") => fields.get(1),
            Some("GLL") => fields.get(5),
            _ => None,
        };
        let Some(time) = time.and_then(|t| t.parse::<f64>().ok()) else {
            return;
        };
        let time = time as i64;
        let second = (time / 10_000 * 60 + time / 100 % 100) * 60 + time % 100;
        let passed = second - progress.second.replace(second).unwrap_or(second);
        if let Ok(passed @ 1..600) = u64::try_from(passed.rem_euclid(86_400)) {
            self.clock.advance(Duration::from_secs(passed));
        }
    }
}

impl Transport for Log {
    fn receive(&mut self, into: &mut [u8]) -> std::io::Result<Received> {
        let mut progress = self.replayed.lock().unwrap();
        self.record(&mut progress);
        let rest = &self.bytes[progress.at..];
        if rest.is_empty() {
            self.stop.cancel();
            return Ok(Received::Nothing);
        }
        // Single bytes show every fix; a dollar sign begins the next sentence's time.
        let piece = &rest[..rest.len().min(self.piece)];
        for (start, _) in piece.iter().enumerate().filter(|(_, b)| **b == b'$') {
            self.pass(&rest[start..], &mut progress);
        }
        into[..piece.len()].copy_from_slice(piece);
        progress.at += piece.len();
        Ok(Received::Bytes(piece.len()))
    }
}

/// Replays `bytes` in pieces, in a boat that accepts `dates`.
fn replay(bytes: &[u8], piece: usize, dates: DateWindow) -> Replayed {
    let clock = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp(60_000_000)));
    let computer = Arc::new(ManualClock::new(Timestamp(0)));
    let utc_clock = Arc::new(UtcClock::new(computer, clock.clone()).with_dates(dates));
    let positions = Arc::new(PositionHistory::new(Duration::from_secs(120), true));
    let stop = CancellationToken::default();
    let progress = Arc::new(Mutex::default());
    let log = Log {
        bytes: bytes.into(),
        piece,
        replayed: progress.clone(),
        clock: clock.clone(),
        positions: positions.clone(),
        utc_clock: utc_clock.clone(),
        stop: stop.clone(),
    };
    let client = GnssClient {
        connector: Box::new(log),
        protocol: Protocol::Nmea,
        timeout: Duration::from_secs(100_000_000),
        fix_assembler: FixAssembler::new(positions.clone(), utc_clock.clone()),
        positions: positions.clone(),
        clock: clock.clone(),
        backoff: Backoff::new(Duration::from_millis(1), Box::new(StdRng::seed_from_u64(1))),
        stop,
    };
    client.run();
    let Progress {
        positions: fixes,
        times,
        ..
    } = std::mem::take(&mut *progress.lock().unwrap());
    Replayed {
        health: positions.health(&*clock),
        time: utc_clock.status(),
        positions: fixes,
        times,
    }
}

/// The date of `utc` as `ddmmyy`.
fn ddmmyy(utc: Timestamp) -> String {
    let text = utc.to_string();
    format!("{}{}{}", &text[8..10], &text[5..7], &text[2..4])
}

fn assert_agrees(name: &str, scan: &Scan, replayed: &Replayed) {
    let Replayed {
        health,
        positions,
        times,
        ..
    } = replayed;
    let fixed = !positions.is_empty() && health.fixes > 0 && health.latitude.is_some();
    assert!(fixed || scan.positions.is_empty(), "{name}: {health:?}");
    for (north, east) in positions {
        let same = |(n, e): &&(f64, f64)| (n - north).abs() < 1e-8 && (e - east).abs() < 1e-8;
        assert!(
            scan.positions.iter().any(|p| same(&p)),
            "{name}: no sentence has the position {north}, {east}"
        );
    }
    let stated: BTreeSet<&str> = scan.dates.iter().map(String::as_str).collect();
    for utc in times {
        // Around midnight a time may precede the first sentence with its date.
        let near = [-HOUR, 0, HOUR].map(|millis| ddmmyy(utc.plus_millis(millis)));
        assert!(
            near.iter().any(|date| stated.contains(date.as_str())),
            "{name}: no sentence has the date of {utc}"
        );
    }
    assert!(
        health.sentences >= scan.sentences,
        "{name}: {} of {} sentences: {health:?}",
        health.sentences,
        scan.sentences
    );
}

fn folder() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/nmea");
    match std::env::var_os(FOLDER) {
        Some(folder) => Some(folder.into()),
        None => Some(default()).filter(|folder| folder.is_dir()),
    }
}

#[test]
fn logs_of_real_receivers_are_read() {
    let Some(folder) = folder() else {
        println!("skipped: {FOLDER} is not set, and there are no logs next to the checkout");
        return;
    };
    let mut logs: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{FOLDER}: {}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    assert!(!logs.is_empty(), "{}: no *.log", folder.display());
    println!("read malformed ignored rejected unchecked fixes time      log");
    let mut from_gnss = 0;
    for path in &logs {
        let name = path.file_name().unwrap().to_string_lossy();
        let bytes = std::fs::read(path).unwrap();
        let scan = Scan::of(&bytes);
        let shipped = replay(&bytes, 1, DateWindow::default());
        assert_agrees(&name, &scan, &shipped);
        // The program as it would have been when the log was recorded.
        let day = jiff::SignedDuration::from_hours(24);
        let recorded = scan
            .usual_date()
            .and_then(|date| date.checked_sub(day).ok());
        let recorded = recorded.map(|date| {
            let midnight = date.to_datetime(jiff::civil::Time::midnight());
            let utc = jiff::tz::Offset::UTC.to_timestamp(midnight).unwrap();
            DateWindow::from_release(Timestamp(utc.as_millisecond()))
        });
        let then = replay(&bytes, 1, recorded.unwrap_or_default());
        assert_agrees(&name, &scan, &then);
        from_gnss += u32::from(then.time.source == "gnss");
        let PositionHealth {
            fixes,
            sentences,
            ignored,
            malformed,
            damaged,
            without_checksum,
            ..
        } = &shipped.health;
        println!(
            "{:4} {malformed:9} {ignored:7} {damaged:8} {without_checksum:9} {fixes:5} {:9} {name}",
            sentences - ignored - malformed,
            format!("{}/{}", shipped.time.source, then.time.source)
        );
        // Neither the pieces nor the dates affect sentences and positions.
        let at_once = replay(&bytes, 4096, DateWindow::default());
        for other in [&then, &at_once] {
            assert_eq!(
                (
                    other.health.sentences,
                    other.health.damaged,
                    other.health.fixes
                ),
                (*sentences, *damaged, *fixes),
                "{name}"
            );
        }
    }
    println!("{} logs, {from_gnss} of them with GNSS time", logs.len());
}

#[test]
fn a_log_of_binary_comments_and_glued_sentences_is_read() {
    let content = "GPRMC,162000.000,A,830.738,N,1237.5,W,6.5,270.0,231126,4.3,,A";
    let sentence = |content: &str| {
        let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${content}*{sum:02X}")
    };
    let mut log = b"# Name: a comment with $ and *00\r\n\0\xb5\x62\x01\x24$\x07".to_vec();
    for second in 0..8 {
        let rmc = content.replace("162000", &format!("16200{second}"));
        log.extend(sentence(&rmc).as_bytes());
        log.extend(sentence("GPRMC,,V,,N,,E,,,,,,N").as_bytes());
        log.extend(b"\n> \0!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r");
    }
    let scan = Scan::of(&log);
    assert_eq!((scan.sentences, scan.positions.len()), (16, 8));
    let replayed = replay(&log, 1, DateWindow::default());
    assert_agrees("glued", &scan, &replayed);
    assert_eq!(
        (replayed.health.sentences, replayed.health.fixes),
        (24, 8),
        "{replayed:?}"
    );
    assert_eq!(replayed.time.source, "gnss");
}
