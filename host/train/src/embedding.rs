//! The embedding's training.
//!
//! [`recipe`] holds the settings, [`split`] chooses the held-out identities and
//! [`run_record`] stores them, `sampler` the photos of a
//! batch, `crops`, `augment`, `degrade` and `batches` turn them into numbers, `divide` clusters them for the learners of a
//! divided embedding, [`phase`] says what each epoch does. `network` runs a [`flukewatch_network`] on
//! libtorch, `state` is what changes from step to step. A `run` of a `job` is the `training` of epochs, these are
//! `steps`, and `run_log` records both.

pub mod checkpoint;
pub mod phase;
pub mod recipe;
pub mod run_record;
pub mod split;

#[cfg(feature = "libtorch")]
mod augment;
#[cfg(feature = "libtorch")]
mod average;
#[cfg(feature = "libtorch")]
pub mod batches;
#[cfg(feature = "libtorch")]
mod crops;
#[cfg(feature = "libtorch")]
mod degrade;
#[cfg(feature = "libtorch")]
mod divide;
#[cfg(feature = "libtorch")]
mod features;
#[cfg(feature = "libtorch")]
pub mod job;
#[cfg(feature = "libtorch")]
pub mod network;
#[cfg(feature = "libtorch")]
mod photos;
#[cfg(feature = "libtorch")]
pub mod run;
#[cfg(feature = "libtorch")]
mod run_log;
#[cfg(feature = "libtorch")]
mod sampler;
#[cfg(feature = "libtorch")]
mod state;
#[cfg(feature = "libtorch")]
mod steps;
#[cfg(feature = "libtorch")]
mod training;
#[cfg(feature = "libtorch")]
pub mod validation;
