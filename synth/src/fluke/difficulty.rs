//! How hard the photographs are: the ranges of everything that changes a picture, in one place.
//!
//! The aim is a population of which a network trained on real flukes finds the right whale for most
//! photos, while raw pixels or a randomly initialised network find it for few: pose, light and
//! water change a picture more than the individual does. Widen a range to make identification
//! harder, narrow it to make it easier.

use crate::seed::Span;

/// Ranges from which each photograph is drawn. Angles are in radians, lengths in half spans of the
/// fluke unless stated otherwise.
#[derive(Clone, Debug)]
pub struct Difficulty {
    /// Yaw of the fluke to either side.
    pub turn: f32,
    /// Pitch away from the camera (positive) or towards it (negative).
    pub lean: Span,
    /// Roll of the camera or the whale to either side.
    pub roll: f32,
    /// Fold of each lobe towards the camera.
    pub fold: Span,
    /// Maximum difference between the folds of the two lobes.
    pub fold_difference: f32,
    /// Curl of a tip up or down.
    pub curl: f32,
    /// Distance of the camera.
    pub distance: Span,
    /// Height of the water on the fluke's outline (the notch is at 0, the stalk begins near -0.5).
    pub water: Span,
    /// Height of the waves at the fluke.
    pub waves: Span,
    /// Fraction of the picture's width that the fluke takes.
    pub filling: Span,
    /// Brightness factor of the whole picture.
    pub exposure: Span,
    /// Contrast factor of the whole picture.
    pub contrast: Span,
    /// Amount of haze over the fluke.
    pub haze: Span,
    /// Fraction of backlit photos.
    pub backlit: f32,
    /// Remaining light on the fluke in backlit photos.
    pub backlit_gain: Span,
    /// Strength of the highlights on wet skin.
    pub sheen: Span,
    /// Fraction of the skin covered by running water.
    pub film: Span,
    /// Number of streams of water that fall from the edges.
    pub streams: Span,
    /// Number of drops in the air.
    pub drops: Span,
    /// Amount of foam where the fluke leaves the water.
    pub foam: Span,
    /// Defocus, in pixels of a 448-pixel picture.
    pub defocus: Span,
    /// Motion blur, in pixels of a 448-pixel picture.
    pub motion: Span,
    /// Sensor noise, in grey levels.
    pub grain: Span,
    /// JPEG quality.
    pub quality: Span,
    /// Fraction of grey photos.
    pub grey: f32,
}

/// The difficulty of photographs from boats.
///
/// Chosen by R@1, leave one out, over 40 whales with 3 or 4 photos each, compared with 40 real
/// whales with 4: nearest grey pixels of 32 x 64 find 0.20 to 0.36 here (real: 0.23),
/// EfficientNet-Lite0 with random weights 0.02 to 0.04 (0.05), with ImageNet's weights 0.33 to 0.38
/// (0.39 to 0.41).
pub static FIELD: Difficulty = Difficulty {
    turn: 0.5,
    lean: -0.2..=0.55,
    roll: 0.16,
    fold: 0.0..=0.48,
    fold_difference: 0.2,
    curl: 0.11,
    distance: 8.0..=30.0,
    water: -0.62..=-0.36,
    waves: 0.01..=0.05,
    filling: 0.5..=0.96,
    exposure: 0.75..=1.4,
    contrast: 0.75..=1.3,
    haze: 0.0..=0.15,
    backlit: 0.12,
    backlit_gain: 0.45..=0.7,
    sheen: 0.0..=0.3,
    film: 0.0..=0.2,
    streams: 0.0..=20.0,
    drops: 0.0..=70.0,
    foam: 0.0..=0.8,
    defocus: 0.3..=0.9,
    motion: 0.0..=1.5,
    grain: 1.0..=5.0,
    quality: 60.0..=92.0,
    grey: 0.3,
};
