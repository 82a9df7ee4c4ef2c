//! Measures memory for `cargo xtask bench day`: runs a boat's pipeline for hours of simulated time, as
//! fast as possible.
//!
//! ```sh
//! cargo run --release -p flukewatch-tests --example day -- BUNDLE FILM RATE HOURS
//! ```
//!
//! The video is repeated while simulated time advances. After each simulated hour all pending
//! messages are acknowledged, and a JSON object with the resident memory is printed.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::Timestamp;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::config::EncounterSection;
use flukewatch_edge::outbox::{NewEpoch, Outbox, Queue};
use flukewatch_edge::source::{FrameSource, SourceError, SourceEvent, Unpaced, VideoFile};
use flukewatch_edge::time::MonotonicTimestamp;
use flukewatch_tests::at_sea::{self, BEGIN};
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

/// Repeats a video.
struct RepeatedVideo {
    film: PathBuf,
    rate: f64,
    hours: u32,
    showing: VideoFile,
    last: MonotonicTimestamp,
    /// Simulated hours completed.
    over: u32,
    frames: u64,
    acknowledged: usize,
    queue: Queue,
    began: Instant,
}

impl RepeatedVideo {
    fn open(film: &Path, rate: f64, start: MonotonicTimestamp) -> VideoFile {
        VideoFile::open(
            film,
            start,
            rate,
            Box::new(Unpaced(CancellationToken::default())),
            &CancellationToken::default(),
        )
        .unwrap()
    }

    /// Ends a simulated hour: acknowledges all pending messages and prints the measurement.
    fn hour(&mut self) {
        self.over += 1;
        let queued = self.queue.next(&HashSet::new(), 1_000_000).unwrap();
        let keys: Vec<_> = queued.iter().map(|q| q.key).collect();
        self.acknowledged += self.queue.acknowledge(&keys).unwrap();
        let measured = json!({
            "hour": self.over,
            "frames": self.frames,
            "acknowledged": self.acknowledged,
            "waiting": self.queue.counts().unwrap().pending(),
            "resident": resident(),
            "took": self.began.elapsed().as_secs_f64(),
        });
        println!("{measured}");
    }
}

impl FrameSource for RepeatedVideo {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            match self.showing.next()? {
                SourceEvent::Ended => {
                    let start = self.last.plus(Duration::from_secs_f64(1.0 / self.rate));
                    self.showing = Self::open(&self.film, self.rate, start);
                }
                SourceEvent::Frame(frame) => {
                    self.last = frame.taken;
                    self.frames += 1;
                    if self.last.since(BEGIN) >= HOUR * (self.over + 1) {
                        self.hour();
                    }
                    if self.over == self.hours {
                        return Ok(SourceEvent::Ended);
                    }
                    return Ok(SourceEvent::Frame(frame));
                }
                other => return Ok(other),
            }
        }
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, film, rate, hours] = &args[..] else {
        panic!("BUNDLE FILM RATE HOURS");
    };
    let (film, rate): (&Path, f64) = (film.as_ref(), rate.parse().unwrap());
    let bundle = Bundle::open(Path::new(bundle)).unwrap();
    let folder = film.with_extension("outbox");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let boat = "simulated".parse().unwrap();
    // Opened a second time, as the uploader does, to acknowledge.
    let fresh = NewEpoch {
        id: flukewatch_common::samples::epoch(),
        now: Timestamp(0),
    };
    let queue = Outbox::open(&folder, &boat, 1 << 34, fresh)
        .unwrap()
        .queue()
        .unwrap();
    let source = RepeatedVideo {
        film: film.to_owned(),
        rate,
        hours: hours.parse().unwrap(),
        showing: RepeatedVideo::open(film, rate, BEGIN),
        last: BEGIN,
        over: 0,
        frames: 0,
        acknowledged: 0,
        queue,
        began: Instant::now(),
    };
    let within = EncounterSection::default().return_within();
    let (watch, _) = at_sea::watch(&bundle, Box::new(source), rate, within, &folder);
    watch.run().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
