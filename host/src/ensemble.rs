//! `flukewatch ensemble`: several models together, as the humpback contests were won.
//!
//! [`features`] puts the embeddings of several bundles side by side. [`merge`] makes one ONNX model of theirs and [`concat`] a
//! bundle. [`classify`] trains a [`softmax`] over the known whales on a [`projection`] of the features, with a threshold for new
//! ones set on a [`holdout`]; [`classifier`] is what it gives, [`apply`] uses it.

pub mod apply;
pub mod classifier;
pub mod classify;
pub mod command;
pub mod concat;
pub mod features;
pub mod holdout;
pub mod merge;
pub mod projection;
pub mod softmax;
