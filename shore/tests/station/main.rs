//! A whole station, tested through MQTT, HTTP, and its command line.
//!
//! One test binary, since linking takes longer than running.
#![allow(clippy::unwrap_used)]

mod attacks;
mod briefs;
mod broker;
mod browse;
mod browser;
mod command_line;
mod external_broker;
mod fixtures;
mod ingest;
mod mosquitto;
mod pages;
mod photos;
#[path = "../../src/sample.rs"]
mod sample;
mod status;
mod store;
