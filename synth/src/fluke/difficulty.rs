//! How hard the photographs are: every strength that stands between an individual and its picture, in one place.
//!
//! The aim is a population of which a network trained on real flukes finds the right whale for most photos, while the pixels
//! themselves, or a network of random weights, find it for few: pose, light and water change a picture more than the
//! individual does. Widen a span to make identification harder, narrow it to make it easier.

use crate::seed::Span;

/// Spans from which each photograph draws its circumstances. Angles are in radians, lengths in half spans of the fluke
/// unless it says otherwise.
#[derive(Clone, Debug)]
pub struct Difficulty {
    /// How far the fluke may be turned to either side.
    pub turn: f32,
    /// How far it leans away (positive) or towards the camera (negative).
    pub lean: Span,
    /// How far the camera or the whale tilts to either side.
    pub roll: f32,
    /// How far each lobe folds towards the camera.
    pub fold: Span,
    /// How far the two lobes' folds differ at most.
    pub fold_difference: f32,
    /// How far a tip curls up or down.
    pub curl: f32,
    /// How far the camera is.
    pub distance: Span,
    /// Where the water stands, as a height of the fluke's outline (the notch is at 0, the stalk begins near -0.5).
    pub water: Span,
    /// How high waves reach up the fluke.
    pub waves: Span,
    /// The share of the picture's width that the fluke takes.
    pub filling: Span,
    /// Brightness of the whole picture.
    pub exposure: Span,
    /// Contrast of the whole picture.
    pub contrast: Span,
    /// How much haze lies over the fluke.
    pub haze: Span,
    /// The share of photos against the light, and how bright the fluke is in them.
    pub backlit: f32,
    /// What is left of the fluke's light in those.
    pub backlit_gain: Span,
    /// How strongly the wet skin shines.
    pub sheen: Span,
    /// How much running water covers of the skin.
    pub film: Span,
    /// Streams of water that fall from the edges, in number.
    pub streams: Span,
    /// Drops in the air, in number.
    pub drops: Span,
    /// How much foam stands where the fluke leaves the water.
    pub foam: Span,
    /// Defocus, in pixels of a 448-pixel picture.
    pub defocus: Span,
    /// Motion blur, in pixels of a 448-pixel picture.
    pub motion: Span,
    /// Sensor noise, in grey levels.
    pub grain: Span,
    /// JPEG quality.
    pub quality: Span,
    /// The share of photos in grey.
    pub grey: f32,
}

/// As photographs from boats are.
///
/// Set by R@1, leave one out, over 40 whales with 3 or 4 photos each, beside the same measure on 40 real whales with 4: nearest
/// grey pixels of 32 x 64 find 0.20 to 0.36 here (real: 0.23), EfficientNet-Lite0 with random weights 0.02 to 0.04 (0.05), with
/// ImageNet's weights 0.33 to 0.38 (0.39 to 0.41).
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
