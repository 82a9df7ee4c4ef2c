//! The boat's health: counters that all parts write, and the document that people and programs
//! read.

mod counters;
mod document;
mod file;

pub use counters::Counters;
pub use document::{Broker, Health, HealthSources, InputHealth, OutboxHealth};
