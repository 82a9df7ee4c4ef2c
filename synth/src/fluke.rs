//! Synthetic flukes, and photographs of them.
//!
//! [`individual::Individual`] (outline, pigment, scars) → [`skin::Skin`], the underside flat and
//! evenly lit → [`photograph`] with [`pose`], [`background`], [`light`] and [`water`], drawn from
//! the ranges of [`difficulty`] → a catalogue of photos ([`album`]) or a camera's frames
//! ([`sequence`]), together a [`population`] with its [`truth`].

pub mod album;
pub mod background;
pub mod difficulty;
pub mod dive;
pub mod individual;
pub mod light;
pub mod outline;
pub mod photograph;
pub mod pigment;
pub mod population;
pub mod pose;
pub mod scar;
pub mod sequence;
pub mod skin;
pub mod truth;
pub mod water;
