//! Several models together.
//!
//! [`features`] puts the embeddings of several bundles side by side. [`merge`] combines their ONNX
//! models into one and [`concatenate`] makes a bundle of it. `fit` trains a [`layer`] over
//! known whales on a [`flukewatch_eval::pca`] of the features, with a threshold for new ones chosen on a
//! holdout; the result is a [`classifier`], and [`predictions`] are its guesses for photos.

pub mod classifier;
pub mod concatenate;
pub mod features;
#[cfg(feature = "train")]
pub mod fit;
#[cfg(feature = "train")]
mod holdout;
pub mod layer;
mod merge;
pub mod predictions;
