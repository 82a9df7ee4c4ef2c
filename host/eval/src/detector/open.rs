//! Opens the detector of a bundle.

use anyhow::Context;
use flukewatch_common::bundle::Bundle;
use flukewatch_inference::detector::Detector;

/// Opens the bundle's detector.
///
/// # Errors
/// If it has none, or it cannot be loaded.
pub fn open(bundle: &Bundle) -> anyhow::Result<Detector> {
    Detector::open(bundle)?.with_context(|| {
        format!(
            "bundle '{}' has no detector; add one with flukewatch bundle-detector",
            bundle.manifest.name
        )
    })
}
