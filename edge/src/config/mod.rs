//! `edge.toml`: what a boat is told. Every fault is named with its file, line and key.

mod camera;
mod detector;
mod fault;
mod locate;
mod operation;
mod position;
mod track;

pub use camera::{CameraSection, Pace, SourceKind};
pub use detector::DetectorSection;
pub use fault::{ConfigError, Fault};
pub use operation::{ArchiveSection, LogFormat, LogLevel, LogSection, MachineSection, PageSection};
pub use position::{PositionKind, PositionSection};
pub use track::TrackSection;

use crate::uplink::BrokerUrl;
use flukewatch_common::engine::choice::EngineChoice;
use flukewatch_common::engine::tensorrt::{PlanOptions, SHIMS, TensorRtPlace};
use flukewatch_common::footage::{ConfigId, MAX_CROPS};
use flukewatch_common::sighting::BoatId;
use locate::Document;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All that `edge.toml` says. Paths are as the program uses them: relative ones are resolved against the file's folder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which boat this is.
    pub boat: BoatSection,
    /// The model and the catalogue.
    pub bundle: BundleSection,
    /// What runs the model.
    #[serde(default)]
    pub engine: EngineSection,
    /// Where frames come from: one `[camera]`, or several `[[camera]]`.
    #[serde(rename = "camera", deserialize_with = "camera::one_or_several")]
    pub cameras: Vec<CameraSection>,
    /// Where the boat is.
    #[serde(default)]
    pub position: PositionSection,
    /// What finds flukes.
    #[serde(default)]
    pub detector: DetectorSection,
    /// How boxes become tracks.
    #[serde(default)]
    pub track: TrackSection,
    /// How tracks become encounters.
    #[serde(default)]
    pub encounter: EncounterSection,
    /// Where sightings wait until shore has them.
    pub outbox: OutboxSection,
    /// The way to shore.
    pub uplink: UplinkSection,
    /// What is kept on board of what shore has.
    #[serde(default)]
    pub archive: ArchiveSection,
    /// The page on the boat's own network.
    #[serde(default)]
    pub page: PageSection,
    /// The computer's temperature and disk.
    #[serde(default)]
    pub machine: MachineSection,
    /// The log.
    #[serde(default)]
    pub log: LogSection,
    /// What tells this text from another.
    #[serde(skip)]
    pub identity: ConfigId,
}

/// `[boat]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoatSection {
    /// Its name ([`BoatId`]); every boat of a fleet has another.
    pub name: String,
}

/// `[bundle]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSection {
    /// A bundle's folder or `.flukebundle` file.
    pub path: PathBuf,
}

/// `[engine]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSection {
    /// Which engine.
    #[serde(rename = "use")]
    pub choice: EngineChoice,
    /// Threads of tract.
    pub threads: usize,
    /// The folder of TensorRT's shims.
    pub shims: PathBuf,
    /// The folder of the plans that TensorRT builds; made where it is missing.
    pub plans: PathBuf,
    /// Whether layers that are not int8 may run in 16 bits.
    pub fp16: bool,
    /// What TensorRT may use to try out layers, in megabytes of 1,000,000 bytes.
    pub workspace_megabytes: u64,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self {
            choice: EngineChoice::Auto,
            threads: 1,
            shims: SHIMS.into(),
            plans: "plans".into(),
            fp16: false,
            workspace_megabytes: 512,
        }
    }
}

impl EngineSection {
    /// Where TensorRT is, and how it builds plans.
    pub fn place(&self) -> TensorRtPlace {
        TensorRtPlace {
            shims: self.shims.clone(),
            plans: self.plans.clone(),
            options: PlanOptions {
                fp16: self.fp16,
                workspace_bytes: self.workspace_megabytes.saturating_mul(1_000_000),
            },
        }
    }
}

/// Frames without a fluke before its encounter may end: a slow camera would otherwise make two of one at each frame that hides it.
pub const GAP_FRAMES: f64 = 3.0;

/// `[encounter]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncounterSection {
    /// An encounter ends after this many seconds without its fluke, but not before [`GAP_FRAMES`] frames.
    pub gap_seconds: f64,
    /// An encounter that lasts this long is reported, and a new one begins.
    pub longest_seconds: f64,
    /// How many of an encounter's best crops are matched.
    pub best_crops: usize,
    /// A whale that comes back within so many minutes is the same encounter.
    pub return_minutes: f64,
}

impl Default for EncounterSection {
    fn default() -> Self {
        Self {
            gap_seconds: 0.7,
            longest_seconds: 300.0,
            best_crops: 5,
            return_minutes: 10.0,
        }
    }
}

/// `[outbox]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxSection {
    /// The folder with the database, the pictures and `health.json`; made where it is missing.
    pub path: PathBuf,
    /// What may wait in it at most, in megabytes of 1,000,000 bytes.
    #[serde(default = "default_megabytes")]
    pub max_megabytes: u64,
}

fn default_megabytes() -> u64 {
    8_000
}

/// `[uplink]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSection {
    /// `mqtt://[user:password@]host[:port]`, or `mqtts://` where the program is built with the feature `tls`.
    pub broker: String,
    /// How many messages may be under way without a receipt.
    #[serde(default = "default_window")]
    pub window: usize,
    /// A message that the broker has taken is sent again after this many seconds without a receipt from shore.
    #[serde(default = "default_receipt_timeout")]
    pub receipt_timeout_seconds: f64,
    /// The longest wait between two attempts to connect, in seconds.
    #[serde(default = "default_longest_wait")]
    pub longest_wait_seconds: f64,
}

fn default_window() -> usize {
    crate::uplink::MAX_WINDOW
}

fn default_receipt_timeout() -> f64 {
    60.0
}

fn default_longest_wait() -> f64 {
    30.0
}

impl Config {
    /// Reads `file`, checks it and that what it names exists.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault's line and key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let config = Self::parse(&text, file)?;
        let mut faults = vec![];
        let bundle = ("bundle.path".to_owned(), &config.bundle.path);
        // A live camera that is not there may be plugged in later.
        let pictures = config.numbered_cameras().filter(|(_, c)| !c.is_live());
        let pictures = pictures.map(|(section, c)| (format!("{section}.path"), &c.path));
        for (key, path) in std::iter::once(bundle).chain(pictures) {
            if let Err(e) = std::fs::metadata(path) {
                faults.push(Fault {
                    line: None,
                    key,
                    problem: format!("{}: {e}", path.display()),
                });
            }
        }
        config.or_faults(faults, &text, file)
    }

    /// Reads `text`, which stands in `file`, without looking at the disk.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault's line and key.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| {
            let fault = Document::new(text).fault(&e);
            ConfigError::Faults {
                file: file.to_owned(),
                faults: vec![fault],
            }
        })?;
        config.identity = identity(text);
        let faults = config.faults();
        let folder = file.parent().unwrap_or(Path::new(""));
        for path in [
            &mut config.bundle.path,
            &mut config.engine.shims,
            &mut config.engine.plans,
            &mut config.outbox.path,
            &mut config.machine.sensors,
        ]
        .into_iter()
        .chain(config.cameras.iter_mut().map(|c| &mut c.path))
        .filter(|path| !path.as_os_str().is_empty())
        {
            *path = folder.join(&*path);
        }
        config.or_faults(faults, text, file)
    }

    /// The cameras with the names of their sections: `camera`, or `camera[1]`, `camera[2]` and so on.
    fn numbered_cameras(&self) -> impl Iterator<Item = (String, &CameraSection)> {
        let only = self.cameras.len() == 1;
        self.cameras.iter().zip(1..).map(move |(camera, number)| {
            let name = if only {
                "camera".to_owned()
            } else {
                locate::element("camera", number)
            };
            (name, camera)
        })
    }

    fn or_faults(
        self,
        mut faults: Vec<Fault>,
        text: &str,
        file: &Path,
    ) -> Result<Self, ConfigError> {
        if faults.is_empty() {
            return Ok(self);
        }
        let document = Document::new(text);
        for fault in &mut faults {
            fault.line = document.line_of(&fault.key);
        }
        // As they stand in the file; keys that are not written come last.
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        Err(ConfigError::Faults {
            file: file.to_owned(),
            faults,
        })
    }

    /// What makes no sense though it is well written.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![];
        let mut check = |key: &str, good: bool, problem: &dyn Fn() -> String| {
            if !good {
                faults.push(Fault {
                    line: None,
                    key: key.into(),
                    problem: problem(),
                });
            }
        };
        let (encounter, uplink) = (&self.encounter, &self.uplink);

        let boat = self.boat.name.parse::<BoatId>();
        check("boat.name", boat.is_ok(), &|| {
            boat.as_ref()
                .err()
                .map(ToString::to_string)
                .unwrap_or_default()
        });
        let threads = self.engine.threads;
        check("engine.threads", (1..=64).contains(&threads), &|| {
            format!("must be 1 to 64, not {threads}")
        });
        let workspace = self.engine.workspace_megabytes as f64;
        check(
            "engine.workspace_megabytes",
            within(workspace, 16.0, 1e5),
            &|| range(workspace, 16.0, 1e5),
        );
        let gap = encounter.gap_seconds;
        check("encounter.gap_seconds", within(gap, 0.1, 3600.0), &|| {
            range(gap, 0.1, 3600.0)
        });
        let longest = encounter.longest_seconds;
        check(
            "encounter.longest_seconds",
            within(longest, 1.0, 3600.0),
            &|| range(longest, 1.0, 3600.0),
        );
        let (crops, most_crops) = (encounter.best_crops as f64, MAX_CROPS as f64);
        check(
            "encounter.best_crops",
            within(crops, 1.0, most_crops),
            &|| range(crops, 1.0, most_crops),
        );
        let minutes = encounter.return_minutes;
        check(
            "encounter.return_minutes",
            within(minutes, 0.0, 240.0),
            &|| range(minutes, 0.0, 240.0),
        );
        let megabytes = self.outbox.max_megabytes as f64;
        check("outbox.max_megabytes", within(megabytes, 1.0, 1e6), &|| {
            range(megabytes, 1.0, 1e6)
        });
        let broker = uplink.broker.parse::<BrokerUrl>();
        check("uplink.broker", broker.is_ok(), &|| {
            broker
                .as_ref()
                .err()
                .map(ToString::to_string)
                .unwrap_or_default()
        });
        let (window, most) = (uplink.window as f64, crate::uplink::MAX_WINDOW as f64);
        check("uplink.window", within(window, 1.0, most), &|| {
            range(window, 1.0, most)
        });
        let timeout = uplink.receipt_timeout_seconds;
        check(
            "uplink.receipt_timeout_seconds",
            within(timeout, 0.1, 86_400.0),
            &|| range(timeout, 0.1, 86_400.0),
        );
        let wait = uplink.longest_wait_seconds;
        check(
            "uplink.longest_wait_seconds",
            within(wait, 0.1, 3600.0),
            &|| range(wait, 0.1, 3600.0),
        );
        let mut names = vec![];
        for (section, camera) in self.numbered_cameras() {
            faults.extend(camera.faults(&section));
            if names.contains(&&camera.name) {
                faults.push(Fault::of(
                    &format!("{section}.name"),
                    format!("another camera is called '{}', too", camera.name),
                ));
            }
            names.push(&camera.name);
        }
        faults.extend(self.position.faults());
        faults.extend(operation::faults(&self.page, &self.archive, &self.machine));
        faults.extend(self.detector.faults());
        faults.extend(self.track.faults());
        faults
    }
}

/// The first bytes of the SHA-256 of a configuration.
fn identity(text: &str) -> ConfigId {
    let digest: [u8; 32] = Sha256::digest(text).into();
    ConfigId(digest.first_chunk().copied().unwrap_or_default())
}

fn within(value: f64, low: f64, high: f64) -> bool {
    value >= low && value <= high
}

fn range(value: f64, low: f64, high: f64) -> String {
    format!("must be {low} to {high}, not {value}")
}

impl EncounterSection {
    /// The gap in milliseconds for a camera of this rate.
    pub fn gap_millis(&self, frames_per_second: f64) -> i64 {
        let seconds = self.gap_seconds.max(GAP_FRAMES / frames_per_second);
        (seconds * 1000.0).round() as i64
    }

    /// How long a whale may stay away and still be the same encounter.
    pub fn return_within(&self) -> Duration {
        Duration::from_secs_f64(self.return_minutes * 60.0)
    }

    /// The longest encounter in milliseconds.
    pub fn longest_millis(&self) -> i64 {
        (self.longest_seconds * 1000.0).round() as i64
    }
}

impl UplinkSection {
    /// How long a message that the broker has taken waits for its receipt.
    pub fn receipt_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.receipt_timeout_seconds)
    }

    /// The longest wait between two attempts to connect.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_secs_f64(self.longest_wait_seconds)
    }
}

#[cfg(test)]
mod tests;
