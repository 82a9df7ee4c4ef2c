//! Synthetic whales and seas, drawn from a seed: to train the detector, for tests, and for the
//! demo.
//!
//! - [`fluke`]: individuals, photographs of them, and whole populations with catalogue, queries and
//!   camera sequences.
//! - [`sea`]: videos of the open sea with flukes and distractors, with the truth of every frame.
//! - [`characters`]: hand-drawn characters, an easy data set to test a trainer on.
//!
//! The same seed always gives the same pictures: see [`seed`].

pub mod arguments;
pub mod characters;
mod error;
pub mod fluke;
mod noise;
pub mod sea;
pub mod seed;

pub use error::SynthError;
