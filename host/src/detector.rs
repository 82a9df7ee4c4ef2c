//! The detector of flukes: taught, exported, judged.
//!
//! [`network`] says what it computes, [`samples`] makes pictures with flukes whose places are known and [`targets`] what its maps
//! should be for them; [`export`] writes the model and [`bundle`] puts it into a bundle, [`evaluate`] judges it. With the feature
//! `train`, `forward` runs it on libtorch, `loss` judges, and `run` teaches. How boxes are read off the maps is the boat's affair:
//! [`flukewatch_common::detector`].

pub mod bundle;
pub mod checkpoint;
pub mod evaluate;
pub mod export;
pub mod network;
pub mod recipe;
pub mod samples;
pub mod targets;

#[cfg(feature = "train")]
pub mod command;
#[cfg(feature = "train")]
mod forward;
#[cfg(feature = "train")]
mod loss;
#[cfg(feature = "train")]
pub mod run;
