//! The boat's health: counters that all parts write, and the document that people and programs
//! read.

mod bundle_update;
mod configuration;
mod counters;
mod document;
mod file;
mod settings;
mod signature;

pub use bundle_update::BundleUpdateHealth;
pub use configuration::ConfigurationHealth;
pub use counters::{Counters, Unrecorded};
pub use document::{Broker, Health, HealthSources, InputHealth, OutboxHealth, UnrecordedHealth};
pub use settings::SettingsHealth;
pub use signature::SignatureHealth;
