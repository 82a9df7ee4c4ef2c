//! What tests of several crates share: an HTTP client, a headless browser, a broker, and waiting for
//! other processes.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

pub mod browser;
pub mod http;
pub mod mosquitto;
pub mod port;
pub mod wait;
