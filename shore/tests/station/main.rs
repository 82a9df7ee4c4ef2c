//! A whole station, tested through MQTT, HTTP, and its command line.
//!
//! One test binary, since linking takes longer than running.
#![allow(clippy::unwrap_used)]

mod attacks;
mod briefs;
mod broker;
mod browse;
mod browser;
mod bundle_boat;
mod bundles;
mod command_line;
mod external_broker;
mod fixtures;
mod ingest;
mod mosquitto;
mod pages;
mod photos;
mod picture_parts;
mod quarantine;
mod requested_files;
#[path = "../../src/sample.rs"]
mod sample;
#[path = "../../src/sample_bundle.rs"]
mod sample_bundle;
mod settings;
mod status;
mod store;
