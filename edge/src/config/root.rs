//! The configuration as a whole, and the sections with a single key.

use super::archive::ArchiveSection;
use super::bundle::BundleSection;
use super::camera::{CameraSection, one_or_several};
use super::checks::Checks;
use super::clip::ClipSection;
use super::detector::DetectorSection;
use super::encounter::EncounterSection;
use super::engine::EngineSection;
use super::fault::Fault;
use super::levels;
use super::locate::element;
use super::log::LogSection;
use super::machine::MachineSection;
use super::mirror::MirrorSection;
use super::page::PageSection;
use super::position::PositionSection;
use super::recording::RecordingSection;
use super::settings::SettingsSection;
use super::track::TrackSection;
use super::uplink::UplinkSection;
use crate::levels::Levels;
use flukewatch_common::footage::ConfigId;
use flukewatch_common::sighting::BoatId;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A boat's configuration. Relative paths are already resolved against the file's folder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The boat's identity.
    pub boat: BoatSection,
    /// The model and the catalogue.
    pub bundle: BundleSection,
    /// The engine that runs the model.
    #[serde(default)]
    pub engine: EngineSection,
    /// The cameras: one `[camera]`, or several `[[camera]]`.
    #[serde(rename = "camera", deserialize_with = "one_or_several")]
    pub cameras: Vec<CameraSection>,
    /// How the GNSS receiver is connected.
    #[serde(default)]
    pub position: PositionSection,
    /// How the fluke detector is used.
    #[serde(default)]
    pub detector: DetectorSection,
    /// How detections become tracks.
    #[serde(default)]
    pub track: TrackSection,
    /// How tracks become encounters.
    #[serde(default)]
    pub encounter: EncounterSection,
    /// Folder and size of the outbox.
    pub outbox: OutboxSection,
    /// The connection to shore.
    pub uplink: UplinkSection,
    /// Recordings of encounters kept on board.
    #[serde(default)]
    pub recording: RecordingSection,
    /// Videos of encounters.
    #[serde(default)]
    pub clip: ClipSection,
    /// Acknowledged sightings kept on board.
    #[serde(default)]
    pub archive: ArchiveSection,
    /// The page on the boat's network.
    #[serde(default)]
    pub page: PageSection,
    /// Status and sightings as JSON for a broker on board.
    #[serde(default)]
    pub mirror: MirrorSection,
    /// The computer's temperature and disk.
    #[serde(default)]
    pub machine: MachineSection,
    /// From when on something is a problem.
    #[serde(default)]
    pub levels: Levels,
    /// Level and format of the log.
    #[serde(default)]
    pub log: LogSection,
    /// Settings from shore.
    #[serde(default)]
    pub settings: SettingsSection,
    /// A hash of the file's text and of the settings from shore.
    #[serde(skip)]
    pub identity: ConfigId,
}

/// The boat's identity, section `[boat]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoatSection {
    /// The boat's name ([`BoatId`]), unique in its fleet.
    pub name: String,
}

/// Folder and size of the outbox, section `[outbox]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSection {
    /// The folder of the database, the pictures, the recordings and `health.json`; created where it is missing.
    pub path: PathBuf,
    /// Maximum size of pending messages, in megabytes of 1,000,000 bytes.
    #[serde(default = "default_megabytes")]
    pub max_megabytes: u64,
}

fn default_megabytes() -> u64 {
    8_000
}

impl Config {
    /// The cameras with the names of their sections: `camera`, or `camera[1]`, `camera[2]` and so
    /// on.
    pub(super) fn numbered_cameras(&self) -> impl Iterator<Item = (String, &CameraSection)> {
        let only = self.cameras.len() == 1;
        self.cameras.iter().zip(1..).map(move |(camera, number)| {
            let name = if only {
                "camera".to_owned()
            } else {
                element("camera", number)
            };
            (name, camera)
        })
    }

    /// Resolves relative paths against `folder`.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        for path in [
            &mut self.bundle.path,
            &mut self.engine.shims,
            &mut self.engine.plans,
            &mut self.outbox.path,
            &mut self.machine.sensors,
            &mut self.uplink.password_file,
            &mut self.mirror.password_file,
            &mut self.mirror.ca_file,
            &mut self.uplink.link_file,
        ]
        .into_iter()
        .chain(
            self.cameras
                .iter_mut()
                .flat_map(|c| [&mut c.path, &mut c.password_file]),
        )
        .filter(|path| !path.as_os_str().is_empty())
        {
            *path = folder.join(&*path);
        }
    }

    /// The faults that parsing cannot find.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![];
        Checks::new("boat", &mut faults).parses("name", self.boat.name.parse::<BoatId>());
        self.bundle.check(&mut Checks::new("bundle", &mut faults));
        self.engine.check(&mut Checks::new("engine", &mut faults));
        self.encounter
            .check(&mut Checks::new("encounter", &mut faults));
        Checks::new("outbox", &mut faults).range(
            "max_megabytes",
            self.outbox.max_megabytes as f64,
            1.0,
            1e6,
        );
        self.uplink.check(&mut Checks::new("uplink", &mut faults));
        levels::check(&self.levels, &mut Checks::new("levels", &mut faults));
        let mut names = vec![];
        for (section, camera) in self.numbered_cameras() {
            let mut checks = Checks::new(&section, &mut faults);
            camera.check(&mut checks);
            if names.contains(&&camera.name) {
                let problem = format!("another camera is named '{}'", camera.name);
                checks.fault("name", problem);
            }
            names.push(&camera.name);
        }
        self.position
            .check(&mut Checks::new("position", &mut faults));
        self.page.check(&mut Checks::new("page", &mut faults));
        self.mirror.check(&mut Checks::new("mirror", &mut faults));
        self.recording
            .check(&mut Checks::new("recording", &mut faults));
        self.clip.check(&mut Checks::new("clip", &mut faults));
        self.archive.check(&mut Checks::new("archive", &mut faults));
        self.machine.check(&mut Checks::new("machine", &mut faults));
        self.detector
            .check(&mut Checks::new("detector", &mut faults));
        self.track.check(&mut Checks::new("track", &mut faults));
        faults
    }
}
