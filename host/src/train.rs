//! The trainer: from labelled photos to a checkpoint.
//!
//! [`recipe`] says how, [`split`] which whales are kept aside, [`sampler`] which photos make a batch, [`augment`] and [`loader`]
//! turn them into numbers, [`divide`] clusters them for the learners of a divided embedding, [`schedule`] says what each epoch does,
//! [`miner`] which triples of a batch a loss compares, [`losses`] tells people of both. With the feature `train`, `forward` runs
//! the [`crate::network`] on libtorch, `loss` judges, `optimiser` moves, and `run` does it all in a loop. [`checkpoint`] remembers; it is read without libtorch, so that a trained network can be exported anywhere.

pub mod augment;
pub mod checkpoint;
pub mod divide;
pub mod loader;
pub mod losses;
pub mod miner;
pub mod progress;
pub mod recipe;
pub mod sampler;
pub mod schedule;
pub mod split;

#[cfg(feature = "train")]
mod average;
#[cfg(feature = "train")]
pub mod command;
#[cfg(feature = "train")]
pub mod device;
#[cfg(feature = "train")]
pub mod error;
#[cfg(feature = "train")]
pub mod forward;
#[cfg(feature = "train")]
pub mod loss;
#[cfg(feature = "train")]
pub(crate) mod memory;
#[cfg(feature = "train")]
mod numbers;
#[cfg(feature = "train")]
pub mod optimiser;
#[cfg(feature = "train")]
mod photos;
#[cfg(feature = "train")]
pub mod run;
#[cfg(feature = "train")]
mod state;
#[cfg(feature = "train")]
pub mod validation;
