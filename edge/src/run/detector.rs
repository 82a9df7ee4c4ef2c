//! The detector of a bundle.

use crate::detect::Detect;
use flukewatch_common::bundle::Bundle;

/// What finds flukes in frames that come without boxes; `None` where `bundle` has no detector.
pub fn detector(_bundle: &Bundle) -> Option<Box<dyn Detect>> {
    None
}
