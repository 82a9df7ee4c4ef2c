//! Synthetic flukes: individuals drawn from a seed, and photographs of them, for tests, the demo and rehearsals.
//!
//! [`individual::Individual`] (outline, pigment, scars) → [`skin::Skin`], its underside flat and evenly lit →
//! [`photograph`], in a [`pose`], on a [`sea`], in a [`light`] and behind [`water`], as hard as [`difficulty`] says →
//! a catalogue of photos or a camera's frames, with the truth beside them. [`characters`] draws something easier instead.

pub mod album;
pub mod characters;
pub mod command;
pub mod difficulty;
pub mod dive;
pub mod error;
pub mod individual;
pub mod light;
pub mod noise;
pub mod outline;
pub mod photograph;
pub mod pigment;
pub mod population;
pub mod pose;
pub mod scar;
pub mod sea;
pub mod seed;
pub mod sequence;
pub mod skin;
pub mod truth;
pub mod water;

pub use command::{SynthArgs, run};
