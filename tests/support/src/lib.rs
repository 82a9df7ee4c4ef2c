//! What tests of pages share: an HTTP client ([`http`]) and a headless browser ([`browser`]).
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must say where, and end"
)]

pub mod browser;
pub mod http;
