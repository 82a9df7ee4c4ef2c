//! Returns to the bundle before.

use crate::bundle_trust::{AcceptError, accept};
use crate::config::Config;
use crate::received_bundles::ReceivedBundles;
use flukewatch_common::clock::Clock;

/// Returns to the bundle before the received one in use, which does not work for `reason`, from the next
/// session on. Returns whether there was one: the configuration's own bundle cannot be rolled back.
pub fn roll_back(config: &Config, reason: &str, clock: &dyn Clock) -> bool {
    match ReceivedBundles::of(config).roll_back(reason) {
        Ok(false) => return false,
        Ok(true) => {}
        Err(error) => {
            tracing::error!(%error, "cannot return to the bundle before");
            return false;
        }
    }
    tracing::error!(reason, "received bundle rolled back");
    // Its version may be lower than that of the one that worked until now.
    match accept(config, clock) {
        Ok(_) | Err(AcceptError::Lab) => {}
        Err(error) => tracing::error!(%error, "cannot accept the bundle before"),
    }
    true
}
