//! Support for the end-to-end tests: the real programs as processes, a boat's folder, a station on
//! shore, a tiny bundle, and pictures for it.
//!
//! The tests are in `tests/`. They run the programs that cargo built beside them, on free loopback
//! ports and in temporary folders, and end every process that they started.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

pub mod at_sea;
pub mod boat;
pub mod bundle;
pub mod drawn_weights;
pub mod drawn_whales;
pub mod flukes;
pub mod kill_points;
pub mod mqtt;
pub mod onnx_runtime;
pub mod pictures;
pub mod program;
pub mod receiver;
pub mod station;
pub mod typical_sighting;

pub use flukewatch_test_support::wait;
