//! What the end-to-end tests stand on: the real programs as processes, a boat's folder, a station on shore, a tiny bundle and
//! pictures to show it.
//!
//! The tests themselves are in `tests/`. They run the programs that cargo built beside them, on free ports of the loopback
//! address and in folders of their own, and end every process that they started.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must say where, and end"
)]

pub mod at_sea;
pub mod boat;
pub mod bundle;
pub mod drawn_weights;
pub mod drawn_whales;
pub mod flukes;
pub mod mqtt;
pub mod onnx_runtime;
pub mod pictures;
pub mod program;
pub mod station;
pub mod wait;
