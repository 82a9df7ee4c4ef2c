//! Settings that a person sends to boats.
//!
//! `flukewatch-shore settings` writes `settings/<boat>.json` in the data folder, so that it works while the station
//! runs; the station follows the files ([`SettingsWatch`]) and publishes what they hold. What boats report of it is
//! in their status.

mod change;
mod error;
mod sent_settings;
mod settings_folder;
mod settings_watch;

pub use crate::boat_files::BoatFilesError;
pub use change::{SettingsChange, has_failed};
pub use error::SettingsError;
pub use sent_settings::SentSettings;
pub use settings_folder::{SettingsFolder, SettingsLock};
pub use settings_watch::{AllSent, SettingsWatch};
