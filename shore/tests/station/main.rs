//! A whole station, tested from outside: over MQTT, over HTTP, and as a program.
//!
//! One test binary, since linking takes longer than running.
#![allow(clippy::unwrap_used)]

mod boat;
mod broker;
mod browse;
mod browser;
mod command_line;
mod ingest;
mod outside_broker;
mod pages;
mod photos;
#[path = "../../src/sample.rs"]
mod sample;
mod store;
