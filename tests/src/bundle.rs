//! A bundle with drawn whales, whose model returns the prepared pixels unchanged.

use crate::pictures::fluke;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::DecisionRule;
pub use flukewatch_inference::samples::passthrough_bundle as of_photos;

/// The name of whale `number` in the catalogue.
pub fn name(number: u32) -> String {
    format!("W{number:02}")
}

/// A bundle with the whales 0 to `whales - 1` enrolled, as [`fluke`] draws them.
///
/// # Panics
/// Never: its parts are valid.
pub fn tiny(whales: u32) -> Bundle {
    let photos = (0..whales).map(|number| (name(number), fluke(number)));
    of_photos(photos, DecisionRule::thresholds(0.8, 0.6, "nothing"))
}
