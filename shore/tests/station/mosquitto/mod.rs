//! The station's mosquitto: what boats may do, what attackers may not, and its supervision.

mod access;
mod bundles;
mod client;
mod fixture;
mod identity;
mod program;
mod signatures;
mod supervision;
