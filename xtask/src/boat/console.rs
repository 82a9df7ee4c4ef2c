//! The console output of the emulated boat.

use anyhow::{Context, bail};
use serde::Deserialize;

/// Prefix of the lines for xtask.
const OURS: &str = "boat: ";

/// The fields of the boat's final status that are used here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Health {
    /// Number of sightings in the outbox.
    accepted: u64,
    /// Number of lost sightings.
    dropped_sightings: u64,
    cameras: Vec<Camera>,
}

/// The status of a camera.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Camera {
    frames: u64,
    damaged: u64,
    missed: u64,
    restarts: u64,
    mode: Option<String>,
}

/// The output of `flukewatch-edge outbox --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Outbox {
    accepted: u64,
    pending: Vec<serde_json::Value>,
    dead_letters: Vec<serde_json::Value>,
}

/// Everything in the console's lines for xtask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    watches: Vec<Health>,
    /// The runs without the camera.
    replays: Vec<Health>,
    outbox: Option<Outbox>,
    ended: bool,
}

impl Report {
    /// Parses a console from its beginning.
    ///
    /// # Errors
    /// If the boat reports a fault or a line is invalid.
    pub(super) fn read(console: &str) -> anyhow::Result<Self> {
        let mut report = Self::default();
        for line in ours(console) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "fault" => bail!("the emulated boat failed: {rest}"),
                "health" => report.watches.push(json(rest)?),
                "replayed" | "sent" => report.replays.push(json(rest)?),
                "outbox" => report.outbox = Some(json(rest)?),
                "ended" => report.ended = true,
                _ => {}
            }
        }
        Ok(report)
    }

    /// Number of frames that the camera delivered.
    pub(super) fn frames(&self) -> u64 {
        self.cameras().map(|c| c.frames).sum()
    }

    /// Number of sightings that were made: those in the outbox and the lost ones.
    ///
    /// # Errors
    /// If the boat ended before it reported them.
    pub(super) fn made(&self) -> anyhow::Result<u64> {
        let outbox = self.outbox.as_ref().filter(|_| self.ended);
        let outbox = outbox.context("the emulated boat ended before it reported its outbox")?;
        let runs = self.watches.iter().chain(&self.replays);
        let dropped_sightings: u64 = runs.map(|h| h.dropped_sightings).sum();
        Ok(outbox.accepted + dropped_sightings)
    }

    /// Number of messages that shore has not acknowledged.
    pub(super) fn undelivered(&self) -> usize {
        let outbox = self.outbox.iter();
        outbox.map(|o| o.pending.len() + o.dead_letters.len()).sum()
    }

    /// A line about each run with the camera.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(i, health): (usize, &Health)| {
            let cameras = health.cameras.iter().map(|c| {
                format!(
                    "{} frames of {}, {} missed, {} damaged, {} restarts",
                    c.frames,
                    c.mode.as_deref().unwrap_or("nothing"),
                    c.missed,
                    c.damaged,
                    c.restarts
                )
            });
            let cameras: Vec<String> = cameras.collect();
            let sightings = health.accepted;
            format!(
                "watch {}: {}; {sightings} sightings",
                i + 1,
                cameras.join(", ")
            )
        };
        self.watches.iter().enumerate().map(line).collect()
    }

    fn cameras(&self) -> impl Iterator<Item = &Camera> {
        self.watches.iter().flat_map(|h| &h.cameras)
    }
}

/// The complete lines for xtask, without their prefix.
pub(super) fn ours(console: &str) -> impl Iterator<Item = &str> {
    let whole = console.rfind('\n').map_or("", |end| &console[..end]);
    whole
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix(OURS))
}

/// The last lines of a console.
pub(super) fn tail(console: &str, lines: usize) -> String {
    let all: Vec<&str> = console.lines().map(str::trim_end).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn json<'a, T: Deserialize<'a>>(text: &'a str) -> anyhow::Result<T> {
    serde_json::from_str(text)
        .with_context(|| format!("invalid line of the emulated boat: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "[    1.9] random: crng init done\r\n\
        boat: begun 6.1.0-56-arm64 after 1.9 s\r\n\
        2026-11-26T06:21:04Z  INFO camera connected camera=/dev/video0 mode=1280x720 GREY at 60 fps\r\n\
        boat: health {\"boat\":\"emulated\",\"accepted\":1,\"dropped_sightings\":0,\"cameras\":[{\"frames\":40,\"damaged\":1,\"missed\":2,\
        \"restarts\":0,\"mode\":\"1280x720 GREY at 60 fps\"}]}\r\n\
        boat: health {\"accepted\":0,\"dropped_sightings\":2,\"cameras\":[{\"frames\":2,\"damaged\":0,\"missed\":0,\"restarts\":1,\"mode\":null}]}\r\n\
        boat: replayed {\"accepted\":1,\"dropped_sightings\":1,\"cameras\":[{\"frames\":30,\"damaged\":0,\"missed\":0,\"restarts\":0,\"mode\":null}]}\r\n\
        boat: outbox {\"accepted\": 2,\"pending\": [],\"dead_letters\": []}\r\n\
        boat: ended after 60 s\r\n[   60.1] reboot: Power down";

    #[test]
    fn runs_and_sightings_are_parsed() {
        let report = Report::read(CONSOLE).unwrap();
        assert_eq!((report.frames(), report.undelivered()), (42, 0));
        assert_eq!(
            report.made().unwrap(),
            5,
            "two were in the outbox, three are lost"
        );
        assert_eq!(
            report.lines(),
            [
                "watch 1: 40 frames of 1280x720 GREY at 60 fps, 2 missed, 1 damaged, 0 restarts; 1 sightings",
                "watch 2: 2 frames of nothing, 0 missed, 0 damaged, 1 restarts; 0 sightings"
            ]
        );
    }

    #[test]
    fn a_console_without_an_outbox_is_an_error() {
        let cut = &CONSOLE[..CONSOLE.find("boat: ended").unwrap()];
        let report = Report::read(cut).unwrap();
        assert!(report.made().is_err());
        let waiting = cut.replace("\"pending\": []", "\"pending\": [{}, {}]");
        assert_eq!(Report::read(&waiting).unwrap().undelivered(), 2);
    }

    #[test]
    fn incomplete_lines_are_ignored_and_faults_are_errors() {
        let half = "boat: health {\"acce";
        assert_eq!(Report::read(half).unwrap(), Report::default());
        assert!(Report::read(&format!("{half}\n")).is_err());
        let fault = Report::read("boat: fault vivid.ko cannot be loaded\n").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the emulated boat failed: vivid.ko cannot be loaded"
        );
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\r\nb\r\nc\r\n", 2), "b\nc");
        assert_eq!(tail("a\n", 5), "a");
        assert_eq!(tail("", 5), "");
    }
}
