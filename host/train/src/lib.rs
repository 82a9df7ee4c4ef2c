//! Training: embeddings, detectors and classifiers, from labelled photos to a checkpoint.
//!
//! [`embedding`] and [`detector`] hold a training each: recipe, batches, network, run. [`classifier`]
//! trains a layer on the features of models that stay as they are. All share [`trainer`], [`loss`] and
//! [`miner`]. What computes needs the feature `libtorch`; recipes, checkpoints and the [`catalog`] of
//! losses do not, so that a trained network can be exported anywhere.

pub mod about;
pub mod catalog;
pub mod detector;
pub mod embedding;
pub mod loss;
pub mod miner;
pub mod trainer;

#[cfg(feature = "libtorch")]
pub mod classifier;
#[cfg(feature = "libtorch")]
mod cpu;
#[cfg(feature = "libtorch")]
mod torch;

/// The error of commands that need the trainer, in builds without it.
pub const MISSING: &str = "this build has no trainer; to get one: cargo xtask setup, \
                           then cargo build --release -p flukewatch-host --features train";
