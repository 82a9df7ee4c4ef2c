//! A bundle that knows drawn whales and passes the prepared pixels through.

use crate::pictures::fluke;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::DecisionRule;
pub use flukewatch_inference::samples::passthrough_bundle as of_photos;

/// The name that whale `number` has in the catalogue.
pub fn name(number: u32) -> String {
    format!("W{number:02}")
}

/// A bundle that knows whales 0 up to, but not, `whales`, as [`fluke`] draws them.
///
/// # Panics
/// Never: its parts fit together.
pub fn tiny(whales: u32) -> Bundle {
    let photos = (0..whales).map(|number| (name(number), fluke(number)));
    of_photos(photos, DecisionRule::thresholds(0.8, 0.6, "nothing"))
}
