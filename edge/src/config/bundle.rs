//! The section `[bundle]`.

use super::checks::Checks;
use flukewatch_trust::PublicKey;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Whether the boat receives the bundles that the station offers.
    #[serde(default = "default_over_the_air")]
    pub over_the_air: bool,
    /// How long a received bundle is observed before it counts as working, in minutes.
    #[serde(default = "default_trial_minutes")]
    trial_minutes: f64,
}

fn default_over_the_air() -> bool {
    true
}

fn default_trial_minutes() -> f64 {
    5.0
}

impl BundleSection {
    /// How long a received bundle is observed before it counts as working.
    pub fn trial(&self) -> Duration {
        Duration::from_secs_f64(self.trial_minutes * 60.0)
    }

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
        checks.range("trial_minutes", self.trial_minutes, 0.01, 1440.0);
    }
}
