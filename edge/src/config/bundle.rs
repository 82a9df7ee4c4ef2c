//! The section `[bundle]`.

use super::checks::Checks;
use flukewatch_trust::PublicKey;
use serde::Deserialize;
use std::path::PathBuf;

/// The bundle to use, and whose bundles are used.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSection {
    /// A bundle's folder or `.flukebundle` file.
    pub path: PathBuf,
    /// The keys of the publishers. A bundle must be signed by one of them.
    #[serde(default)]
    pub trusted_keys: Vec<PublicKey>,
    /// Whether every bundle is used, signed or not. Only without keys.
    #[serde(default)]
    pub allow_unsigned: bool,
}

impl BundleSection {
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        match (self.trusted_keys.is_empty(), self.allow_unsigned) {
            (true, false) => checks.fault(
                "trusted_keys",
                "expected the key of the bundle's publisher, which `flukewatch keygen` prints; in a lab, set allow_unsigned = true \
                 instead",
            ),
            (false, true) => checks.fault(
                "allow_unsigned",
                "must be false with trusted_keys; remove it, or in a lab remove the keys",
            ),
            _ => {}
        }
    }
}
