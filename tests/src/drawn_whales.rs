//! A table of labelled synthetic photos.

use crate::boat::text;
use crate::program::Program;
use std::path::{Path, PathBuf};

/// Draws three photos of each of `whales` whales into the new folder `flukes`; returns the table's
/// path.
///
/// # Panics
/// When they cannot be drawn.
pub fn drawn_whales(flukes: &Path, whales: u32) -> PathBuf {
    let whales = whales.to_string();
    let settings = [
        "--seed",
        "3",
        "--whales",
        &whales,
        "--photos-per-whale",
        "3",
        "--queries-per-whale",
        "0",
    ];
    Program::Host
        .run(&[&["synth", "--out", text(flukes)], &settings[..]].concat())
        .succeeded();
    flukes.join("catalogue.csv")
}
