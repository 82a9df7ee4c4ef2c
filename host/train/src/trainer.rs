//! Shared by all trainings: optimiser with parameter groups, schedule, weight averages,
//! prefetching, checkpoints, metrics and progress.

pub mod average;
pub mod checkpoint;
pub mod device_choice;
pub mod record_error;
pub mod schedule;

#[cfg(feature = "libtorch")]
pub mod device;
#[cfg(feature = "libtorch")]
pub mod error;
#[cfg(feature = "libtorch")]
pub(crate) mod metrics;
#[cfg(feature = "libtorch")]
pub(crate) mod optimiser;
#[cfg(feature = "libtorch")]
pub(crate) mod prefetch;
#[cfg(feature = "libtorch")]
pub(crate) mod progress;
#[cfg(feature = "libtorch")]
pub(crate) mod tensorboard;
