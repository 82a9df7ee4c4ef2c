//! The fluke detector's training.
//!
//! [`network`] describes what it computes, `samples` makes pictures with known flukes and `targets` the
//! maps that the network should output for them. `forward` runs it on libtorch, `loss` compares, `run`
//! is the loop. How boxes are decoded from maps is in [`flukewatch_inference::detector`].

pub mod checkpoint;
pub mod network;
pub mod preparation;
pub mod recipe;

#[cfg(feature = "libtorch")]
mod batches;
#[cfg(feature = "libtorch")]
mod forward;
#[cfg(feature = "libtorch")]
mod loss;
#[cfg(feature = "libtorch")]
pub mod run;
#[cfg(feature = "libtorch")]
pub mod samples;
#[cfg(feature = "libtorch")]
mod state;
#[cfg(feature = "libtorch")]
mod targets;
