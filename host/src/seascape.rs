//! The open sea before a boat's camera, drawn fast enough for hours of it: to teach and to judge the detector of flukes.
//!
//! A [`sea::Sea`] is drawn from a seed (sea state, horizon or none, light, glitter, whitecaps) and painted for any moment. On it
//! come and go [`actor::Actor`]s that are no flukes, and flukes: drawn ones of [`crate::synth`], or boxes of photos with soft edges
//! and colours moved to the sea's ([`sprite`]). [`scene`] composes a single picture, [`film`] a sequence with its truth;
//! [`command`] writes one to a file.

pub mod actor;
pub mod canvas;
pub mod cast;
pub mod command;
pub mod film;
pub mod ripples;
pub mod scene;
pub mod sea;
pub mod sprite;
pub mod surfacing;
