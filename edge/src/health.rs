//! How the boat is doing: counters that all parts write, and the document that people and programs read.

use crate::capture::CameraHealth;
use crate::machine::MachineHealth;
use crate::outbox::Counts;
use crate::position::PositionHealth;
use crate::time::TimeStatus;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::engine::status::EngineStatus;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What has happened since the program started.
#[derive(Debug, Default)]
pub struct Counters {
    frames: AtomicU64,
    broken_frames: AtomicU64,
    encounters: AtomicU64,
    failed_encounters: AtomicU64,
    accepted: AtomicU64,
    in_memory: AtomicU64,
    given_up: AtomicU64,
    sent: AtomicU64,
    resent: AtomicU64,
    receipted: AtomicU64,
    under_way: AtomicU64,
    reloads: AtomicU64,
    link_up: AtomicBool,
}

impl Counters {
    /// A frame came.
    pub fn frame(&self) {
        self.frames.fetch_add(1, Relaxed);
    }

    /// A frame could not be used.
    pub fn broken_frame(&self) {
        self.broken_frames.fetch_add(1, Relaxed);
    }

    /// An encounter ended.
    pub fn encounter(&self) {
        self.encounters.fetch_add(1, Relaxed);
    }

    /// An encounter could not be made a sighting.
    pub fn failed_encounter(&self) {
        self.failed_encounters.fetch_add(1, Relaxed);
    }

    /// A sighting is in the outbox.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// So many sightings wait for room in the outbox.
    pub fn set_in_memory(&self, sightings: usize) {
        self.in_memory.store(sightings as u64, Relaxed);
    }

    /// So many sightings could not be kept.
    pub fn gave_up(&self, sightings: u64) {
        self.given_up.fetch_add(sightings, Relaxed);
    }

    /// Messages were handed to the link.
    pub fn sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Relaxed);
    }

    /// Messages got no receipt in time.
    pub fn resent(&self, messages: u64) {
        self.resent.fetch_add(messages, Relaxed);
    }

    /// Messages got their receipt.
    pub fn receipted(&self, messages: u64) {
        self.receipted.fetch_add(messages, Relaxed);
    }

    /// So many messages are under way without a receipt.
    pub fn set_under_way(&self, messages: usize) {
        self.under_way.store(messages as u64, Relaxed);
    }

    /// A new configuration was taken up.
    pub fn reloaded(&self) {
        self.reloads.fetch_add(1, Relaxed);
    }

    /// Sightings that wait for room in the outbox.
    pub fn in_memory(&self) -> u64 {
        self.in_memory.load(Relaxed)
    }

    /// The link came up or went down.
    pub fn set_link(&self, up: bool) {
        self.link_up.store(up, Relaxed);
    }

    /// Whether there is a link.
    pub fn link_up(&self) -> bool {
        self.link_up.load(Relaxed)
    }
}

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Connected to the broker.
    Up,
    /// Not connected.
    Down,
}

/// What waits in the outbox, and what is kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxHealth {
    /// Bytes of what waits for its receipt.
    pub bytes: u64,
    /// How long the oldest of it has waited, in seconds by the computer's clock; null where nothing waits.
    pub oldest_seconds: Option<u64>,
    /// Messages under way without a receipt.
    pub under_way: u64,
    /// Sightings in the archive.
    pub archived: u64,
    /// Their bytes.
    pub archived_bytes: u64,
    /// Why it takes no commits, where it does not.
    pub trouble: Option<String>,
}

/// What cameras, receiver, clock, computer and outbox say of themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// Each camera, in the order of the configuration.
    pub cameras: Vec<CameraHealth>,
    /// The position.
    pub position: PositionHealth,
    /// The time.
    pub time: TimeStatus,
    /// The computer.
    pub machine: MachineHealth,
    /// The outbox.
    pub outbox: OutboxHealth,
    /// How long the program has worked.
    pub uptime: std::time::Duration,
}

/// The health document. Counts are since the program started, but for what waits in the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The boat.
    pub boat: String,
    /// When this was written, ISO 8601 UTC.
    pub written: String,
    /// The bundle's id.
    pub bundle: String,
    /// What runs the model now.
    pub engine: String,
    /// How it stands with the accelerator's engine: `not wanted`, `preparing`, `ready`, `active`, or `unavailable: ` and why.
    #[serde(default)]
    pub accelerator: String,
    /// Frames that were looked at, the broken ones included.
    pub frames: u64,
    /// Frames that could not be used.
    pub broken_frames: u64,
    /// Frames of live cameras that were replaced by newer ones before anybody could look at them.
    #[serde(default)]
    pub dropped_frames: u64,
    /// Encounters that ended.
    pub encounters: u64,
    /// Encounters of which the model could make nothing.
    pub failed_encounters: u64,
    /// Sightings that were taken into the outbox, and so are safe.
    pub accepted: u64,
    /// Sightings that wait in memory because the outbox does not take them.
    pub in_memory: u64,
    /// Sightings that were given up because the outbox did not take them; each is named in the log.
    pub given_up: u64,
    /// Messages handed to the link, those sent again included.
    pub sent: u64,
    /// Messages that got no receipt in time.
    pub resent: u64,
    /// Messages that shore has receipted.
    pub receipted: u64,
    /// Sightings that wait for their receipt.
    pub queued_sightings: u64,
    /// Pictures that do.
    pub queued_pictures: u64,
    /// Messages that can never be sent.
    pub dead: u64,
    /// The link to the broker.
    pub link: Link,
    /// Each camera, in the order of the configuration.
    #[serde(default)]
    pub cameras: Vec<CameraHealth>,
    /// The position.
    #[serde(default)]
    pub position: PositionHealth,
    /// The time.
    #[serde(default)]
    pub time: TimeStatus,
    /// The computer.
    #[serde(default)]
    pub machine: MachineHealth,
    /// The outbox.
    #[serde(default)]
    pub outbox: OutboxHealth,
    /// How long the program has worked, in seconds.
    #[serde(default)]
    pub uptime_seconds: u64,
    /// How often it took up a new configuration since.
    #[serde(default)]
    pub reloads: u64,
}

impl Counters {
    /// The document of this moment; `waiting` as the outbox says.
    pub fn health(
        &self,
        boat: &str,
        bundle: &str,
        engine: &EngineStatus,
        waiting: Counts,
        now: Timestamp,
        inputs: Inputs,
    ) -> Health {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Health {
            boat: boat.to_owned(),
            written: now.to_string(),
            bundle: bundle.to_owned(),
            engine: engine.active(),
            accelerator: engine.accelerator().to_string(),
            frames: read(&self.frames),
            broken_frames: read(&self.broken_frames),
            dropped_frames: inputs.cameras.iter().map(|c| c.dropped).sum(),
            encounters: read(&self.encounters),
            failed_encounters: read(&self.failed_encounters),
            accepted: read(&self.accepted),
            in_memory: read(&self.in_memory),
            given_up: read(&self.given_up),
            sent: read(&self.sent),
            resent: read(&self.resent),
            receipted: read(&self.receipted),
            queued_sightings: waiting.sightings,
            queued_pictures: waiting.pictures,
            dead: waiting.dead,
            link: if self.link_up() { Link::Up } else { Link::Down },
            cameras: inputs.cameras,
            position: inputs.position,
            time: inputs.time,
            machine: inputs.machine,
            outbox: OutboxHealth {
                under_way: read(&self.under_way),
                ..inputs.outbox
            },
            uptime_seconds: inputs.uptime.as_secs(),
            reloads: read(&self.reloads),
        }
    }
}

impl Health {
    /// Writes the document to `file`, whole or not at all. A reader never sees half of it; a power cut may lose the newest.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let part = file.with_extension("json.part");
        let mut out = std::fs::File::create(&part)?;
        serde_json::to_writer_pretty(&mut out, self)?;
        out.write_all(b"\n")?;
        drop(out);
        std::fs::rename(&part, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::engine::status::Accelerator;

    #[test]
    fn the_document_says_what_was_counted() {
        let counters = Counters::default();
        (0..3).for_each(|_| counters.frame());
        counters.broken_frame();
        counters.set_link(true);
        counters.receipted(7);
        let waiting = Counts {
            sightings: 2,
            pictures: 5,
            dead: 1,
            accepted: 9,
        };
        let camera = |name: &str, dropped| CameraHealth {
            name: name.into(),
            state: "streaming".into(),
            dropped,
            ..CameraHealth::default()
        };
        let inputs = Inputs {
            cameras: vec![camera("bow", 3), camera("mast", 4)],
            ..Inputs::default()
        };
        let health = counters.health(
            "balaena",
            "abc",
            &EngineStatus::new("tract", Accelerator::Unavailable("no GPU".into())),
            waiting,
            Timestamp(1_795_450_800_000),
            inputs,
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("health.json");
        health.write(&file).unwrap();
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for (key, value) in [
            ("frames", 3),
            ("broken_frames", 1),
            ("dropped_frames", 7),
            ("receipted", 7),
            ("queued_pictures", 5),
            ("dead", 1),
        ] {
            assert_eq!(read[key], value, "{key}");
        }
        assert_eq!(read["cameras"][1]["state"], "streaming");
        assert_eq!(
            (&read["engine"], &read["accelerator"]),
            (&"tract".into(), &"unavailable: no GPU".into())
        );
        assert_eq!(
            (&read["link"], &read["written"]),
            (&"up".into(), &"2026-11-23T16:20:00.000Z".into())
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no half-written file is left"
        );
    }
}
