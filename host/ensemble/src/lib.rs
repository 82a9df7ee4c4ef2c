//! Several models together.
//!
//! [`features`] puts the embeddings of several bundles side by side. [`merge`] combines their ONNX
//! models into one and [`concatenate`] makes a bundle of it. `fit` trains a [`layer`] over
//! known whales on a [`flukewatch_eval::pca`] of the features; `parts` keeps the photos apart that fit it,
//! that select its threshold for new whales, and that report its accuracy. The result is a [`classifier`], and [`predictions`] are its guesses for photos.

pub mod classifier;
pub mod concatenate;
pub mod features;
#[cfg(feature = "train")]
pub mod fit;
pub mod layer;
mod merge;
#[cfg(feature = "train")]
mod parts;
pub mod predictions;
