//! The health document.

use super::bundle_update::BundleUpdateHealth;
use super::configuration::ConfigurationHealth;
use super::counters::Counters;
use super::settings::SettingsHealth;
use super::signature::SignatureHealth;
use crate::capture::CameraHealth;
use crate::detector_meter::DetectorHealth;
use crate::levels::Levels;
use crate::link_budget::LinkHealth;
use crate::machine::MachineHealth;
use crate::outbox::{Counts, SetAside};
use crate::position::PositionHealth;
use crate::stage::StageHealth;
use crate::time::TimeStatus;
use flukewatch_common::clock::Timestamp;
use flukewatch_inference::engine::status::EngineStatus;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The state of the connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// Connected and subscribed to acknowledgements.
    Connected,
    /// Disconnected; the uploader reconnects.
    Disconnected,
}

/// The outbox and its archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxHealth {
    /// Bytes of the pending messages.
    pub pending_bytes: u64,
    /// Age of the oldest pending message, in seconds of operation: while the program is stopped,
    /// it does not age. Null where nothing is pending.
    pub oldest_pending_seconds: Option<u64>,
    /// Messages sent and not acknowledged yet.
    pub in_flight: u64,
    /// Sightings in the archive.
    pub archived_sightings: u64,
    /// Total size of the archived sightings.
    pub archived_bytes: u64,
    /// Why commits fail; null where they work.
    pub error: Option<String>,
    /// Earlier outboxes, or pictures of them, that were set aside and are still there.
    pub set_aside: Vec<SetAside>,
}

/// Encounters that were seen and could not be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnrecordedHealth {
    /// How many since the process started.
    pub encounters: u64,
    /// When the latest of them began, RFC 3339 UTC, oldest first.
    pub started: Vec<String>,
}

/// The state of cameras, receiver and clocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputHealth {
    /// Each camera, in the order of the configuration.
    pub cameras: Vec<CameraHealth>,
    /// State and last fix of the GNSS receiver.
    pub position: PositionHealth,
    /// Time source and state of the clocks.
    pub time: TimeStatus,
}

/// What a health document is collected from.
#[derive(Clone, Debug)]
pub struct HealthSources<'a> {
    /// The boat's name from the configuration.
    pub boat: &'a str,
    /// Id of the bundle in use.
    pub bundle: &'a str,
    /// Its signature; `None` where every bundle is used.
    pub signature: Option<SignatureHealth>,
    /// The bundle that the station offers; `None` where it offers none.
    pub bundle_update: Option<BundleUpdateHealth>,
    /// The embedding network's engine.
    pub engine: &'a EngineStatus,
    /// The detector, where there is one.
    pub detector: Option<DetectorHealth>,
    /// Events counted since the process started.
    pub counters: &'a Counters,
    /// Numbers of the outbox's messages.
    pub pending: Counts,
    /// Current UTC time.
    pub now: Timestamp,
    /// Since the process started.
    pub uptime: Duration,
    /// Cameras, receiver and clocks.
    pub inputs: InputHealth,
    /// Temperatures and disk space of the computer.
    pub machine: MachineHealth,
    /// Size and state of the outbox.
    pub outbox: OutboxHealth,
    /// Class and budget of the link to shore.
    pub link: LinkHealth,
    /// The stages of the pipeline.
    pub stages: Vec<StageHealth>,
    /// What could not be recorded.
    pub unrecorded: UnrecordedHealth,
    /// From when on something is a problem.
    pub levels: Levels,
}

/// The health document. Counts are since the process started, except for those of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The boat's name from the configuration.
    pub boat: String,
    /// When this was written, RFC 3339 UTC.
    pub written_at: String,
    /// Id of the bundle in use.
    pub bundle: String,
    /// The bundle's signature by a trusted key; null where every bundle is used.
    #[serde(default)]
    pub signature: Option<SignatureHealth>,
    /// How far the bundle is that the station offers; null where it offers none.
    #[serde(default)]
    pub bundle_update: Option<BundleUpdateHealth>,
    /// The engine that runs the embedding network.
    pub engine: String,
    /// The accelerator's engine: `disabled`, `preparing`, `ready`, `active`, or `unavailable: `
    /// and the reason.
    pub accelerator: String,
    /// The detector, its engine and its speed; null where there is none.
    #[serde(default)]
    pub detector: Option<DetectorHealth>,
    /// Frames, including the broken ones.
    pub frames: u64,
    /// Frames that could not be used.
    pub broken_frames: u64,
    /// Frames of live cameras that were replaced by newer ones before they were processed.
    pub dropped_frames: u64,
    /// Encounters that ended, identified or not.
    pub encounters: u64,
    /// Encounters that could not be recorded.
    #[serde(default)]
    pub unrecorded: UnrecordedHealth,
    /// Sightings that the outbox accepted, which are the recorded encounters.
    pub accepted: u64,
    /// Recorded encounters that were identified.
    #[serde(default)]
    pub identified: u64,
    /// Recorded encounters that are still to be identified.
    #[serde(default)]
    pub unidentified: u64,
    /// Recorded encounters that could not be identified.
    pub failed_encounters: u64,
    /// Frames that are missing from clips, since the disk is slow.
    #[serde(default)]
    pub missing_clip_frames: u64,
    /// Sightings that wait in memory because the outbox rejects them.
    pub sightings_in_memory: u64,
    /// Sightings that were lost because the outbox rejected them; the log has their ids.
    pub dropped_sightings: u64,
    /// Messages handed to the broker, including retries.
    pub sent: u64,
    /// Messages that were not acknowledged in time and were sent again.
    pub retried: u64,
    /// Messages that shore acknowledged.
    pub acknowledged: u64,
    /// Messages that shore rejected; they are dead letters.
    pub rejected: u64,
    /// Messages for this boat without a valid signature, which were ignored.
    #[serde(default)]
    pub invalid_signatures: u64,
    /// Sightings that are not acknowledged yet.
    pub pending_sightings: u64,
    /// Pictures that are not acknowledged yet.
    pub pending_pictures: u64,
    /// Messages that can never be sent, or that shore rejected.
    pub dead_letters: u64,
    /// The connection to the broker.
    pub broker: Broker,
    /// Whether another computer sends under this boat's name.
    pub twin: bool,
    /// Each camera, in the order of the configuration.
    pub cameras: Vec<CameraHealth>,
    /// State and last fix of the GNSS receiver.
    pub position: PositionHealth,
    /// Time source and state of the clocks.
    pub time: TimeStatus,
    /// Temperatures and disk space of the computer.
    pub machine: MachineHealth,
    /// Size and state of the outbox.
    pub outbox: OutboxHealth,
    /// Class and budget of the link to shore.
    #[serde(default)]
    pub link: LinkHealth,
    /// The stages of the pipeline, in the order of the data.
    #[serde(default)]
    pub stages: Vec<StageHealth>,
    /// From when on something is a problem.
    #[serde(default)]
    pub levels: Levels,
    /// Time since the process started, in seconds.
    pub uptime_seconds: u64,
    /// Configurations that were applied by a reload.
    pub reloads: u64,
    /// The configuration in use.
    #[serde(default)]
    pub configuration: ConfigurationHealth,
    /// The settings from shore; null where none has arrived.
    #[serde(default)]
    pub settings: Option<SettingsHealth>,
}

impl Health {
    /// The document of this moment.
    pub fn collect(sources: HealthSources<'_>) -> Self {
        let counted = sources.counters.read();
        Self {
            boat: sources.boat.to_owned(),
            written_at: sources.now.to_string(),
            bundle: sources.bundle.to_owned(),
            signature: sources.signature,
            bundle_update: sources.bundle_update,
            engine: sources.engine.active(),
            accelerator: sources.engine.accelerator().to_string(),
            detector: sources.detector,
            frames: counted.frames,
            broken_frames: counted.broken_frames,
            dropped_frames: sources.inputs.cameras.iter().map(|c| c.dropped).sum(),
            encounters: counted.encounters,
            unrecorded: sources.unrecorded,
            accepted: counted.accepted,
            identified: counted.identified,
            unidentified: sources.pending.unidentified,
            failed_encounters: counted.failed_encounters,
            missing_clip_frames: counted.missing_clip_frames,
            sightings_in_memory: counted.in_memory,
            dropped_sightings: counted.dropped_sightings,
            sent: counted.sent,
            retried: counted.retried,
            acknowledged: counted.acknowledged,
            rejected: counted.rejected,
            invalid_signatures: counted.invalid_signatures,
            pending_sightings: sources.pending.sightings,
            pending_pictures: sources.pending.pictures,
            dead_letters: sources.pending.dead_letters,
            broker: if sources.counters.is_connected() {
                Broker::Connected
            } else {
                Broker::Disconnected
            },
            twin: sources.counters.has_twin(),
            cameras: sources.inputs.cameras,
            position: sources.inputs.position,
            time: sources.inputs.time,
            machine: sources.machine,
            outbox: sources.outbox,
            link: sources.link,
            stages: sources.stages,
            levels: sources.levels,
            uptime_seconds: sources.uptime.as_secs(),
            reloads: counted.reloads,
            configuration: sources.counters.configuration(),
            settings: sources.counters.settings(),
        }
    }
}

#[cfg(test)]
impl Health {
    /// The document of `counters` and `inputs`, for tests.
    pub(crate) fn of(counters: &Counters, inputs: InputHealth) -> Self {
        Self::collect(HealthSources {
            boat: "balaena",
            bundle: "abc",
            signature: None,
            bundle_update: None,
            engine: &EngineStatus::default(),
            detector: None,
            counters,
            pending: Counts::default(),
            now: Timestamp(1_795_450_800_000),
            uptime: Duration::ZERO,
            inputs,
            machine: MachineHealth::default(),
            outbox: OutboxHealth::default(),
            link: LinkHealth::default(),
            stages: vec![],
            unrecorded: UnrecordedHealth::default(),
            levels: Levels::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Stages;
    use flukewatch_inference::engine::status::Accelerator;

    #[test]
    fn the_document_holds_what_was_counted() {
        let counters = Counters::default();
        (0..3).for_each(|_| counters.frame());
        counters.broken_frame();
        counters.set_connected(true);
        counters.acknowledged(7);
        counters.set_configuration(ConfigurationHealth {
            fallback: Some("edge.toml:3: invalid".into()),
            ..ConfigurationHealth::default()
        });
        let camera = |name: &str, dropped| CameraHealth {
            name: name.into(),
            state: "streaming".into(),
            dropped,
            ..CameraHealth::default()
        };
        let health = Health::collect(HealthSources {
            boat: "balaena",
            bundle: "abc",
            signature: None,
            bundle_update: None,
            engine: &EngineStatus::new("tract", Accelerator::Unavailable("no GPU".into())),
            detector: Some(DetectorHealth {
                engine: "TensorRT".into(),
                mean_milliseconds: Some(12.5),
                ..DetectorHealth::default()
            }),
            counters: &counters,
            pending: Counts {
                sightings: 2,
                pictures: 5,
                dead_letters: 1,
                accepted: 9,
                unidentified: 4,
            },
            now: Timestamp(1_795_450_800_000),
            uptime: Duration::from_secs(5),
            inputs: InputHealth {
                cameras: vec![camera("bow", 3), camera("mast", 4)],
                ..InputHealth::default()
            },
            machine: MachineHealth::default(),
            outbox: OutboxHealth::default(),
            link: LinkHealth::default(),
            stages: Stages::default().health(),
            unrecorded: UnrecordedHealth::default(),
            levels: Levels::default(),
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("health.json");
        health.write(&file).unwrap();
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for (key, value) in [
            ("frames", 3),
            ("broken_frames", 1),
            ("dropped_frames", 7),
            ("acknowledged", 7),
            ("pending_pictures", 5),
            ("dead_letters", 1),
            ("unidentified", 4),
            ("uptime_seconds", 5),
        ] {
            assert_eq!(read[key], value, "{key}");
        }
        assert_eq!(read["configuration"]["fallback"], "edge.toml:3: invalid");
        assert_eq!(read["cameras"][1]["state"], "streaming");
        assert_eq!(
            (&read["engine"], &read["accelerator"]),
            (&"tract".into(), &"unavailable: no GPU".into())
        );
        let detector = &read["detector"];
        assert_eq!(
            (&detector["engine"], &detector["mean_milliseconds"]),
            (&"TensorRT".into(), &12.5.into())
        );
        assert_eq!(
            (&read["broker"], &read["written_at"]),
            (&"connected".into(), &"2026-11-23T16:20:00.000Z".into())
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no partial file is left"
        );
    }
}
