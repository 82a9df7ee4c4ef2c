//! `edge.toml`. Every fault is reported with its file, line and key.
//!
//! A section of the file is a file here: its keys, their defaults, what they mean to the program,
//! and their check.

mod archive;
mod bundle;
mod camera;
mod checks;
mod clip;
mod detector;
mod encounter;
mod engine;
mod fault;
mod levels;
mod link;
mod load;
mod locate;
mod log;
mod machine;
mod mirror;
mod mount;
mod overlay;
mod page;
mod position;
mod recording;
mod root;
mod settings;
mod track;
mod uplink;

pub use archive::ArchiveSection;
pub use bundle::BundleSection;
pub use camera::{CameraSection, Playback, SourceKind};
pub use clip::ClipSection;
pub use detector::DetectorSection;
pub use encounter::EncounterSection;
pub use engine::EngineSection;
pub use fault::{ConfigError, Fault};
pub use link::{BytesPerHour, RouteEntry, ScheduleEntry};
pub use log::{LogFormat, LogLevel, LogSection};
pub use machine::MachineSection;
pub use mirror::MirrorSection;
pub use mount::MountSection;
pub use page::PageSection;
pub use position::{PositionKind, PositionSection};
pub use recording::RecordingSection;
pub use root::{BoatSection, Config, OutboxSection};
pub use settings::SettingsSection;
pub use track::TrackSection;
pub use uplink::UplinkSection;

#[cfg(test)]
mod tests;
