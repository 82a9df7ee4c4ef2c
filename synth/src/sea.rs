//! The open sea as seen by a boat's camera, drawn fast enough for hours of video: to train and to
//! evaluate the fluke detector.
//!
//! A [`surface::Sea`] is drawn from a seed (sea state, horizon, light, glitter, whitecaps) and
//! painted for any point in time; or a photo of a real sea takes its place ([`still`]). Distractors ([`actor::Actor`]) and flukes are painted on it:
//! drawn ones of [`crate::fluke`], or cut-outs of photos with soft edges ([`sprite`]), matched to
//! the colours of the sea. [`scene`] composes a single picture, [`video`] a sequence with its
//! truth, which [`file`] writes.

pub mod actor;
pub mod canvas;
pub mod cast;
pub mod file;
pub mod level;
pub mod ripples;
pub mod scene;
pub mod sprite;
pub mod still;
pub mod surface;
pub mod surfacing;
pub mod video;
