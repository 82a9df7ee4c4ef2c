//! The policy of a configuration, at a time.

use super::accepted_file::AcceptedFile;
use crate::config::Config;
use crate::received_bundles::ReceivedBundles;
use crate::time::DateWindow;
use flukewatch_common::bundle::{Accepted, BundleTrust, TrustedKeys};
use flukewatch_common::clock::Clock;

/// The bundles that a boat with this configuration uses now. Every program that opens the boat's bundle
/// decides by it.
///
/// The date of `clock` is unknown where it is implausible ([`DateWindow`]).
pub fn bundle_trust(config: &Config, clock: &dyn Clock) -> BundleTrust {
    if config.bundle.allow_unsigned {
        return BundleTrust::Everyone;
    }
    let now = clock.now();
    // The bundle on trial was validated when it arrived; what is noted is the one before.
    let on_trial = ReceivedBundles::of(config).on_trial();
    let accepted = match on_trial {
        Some(bundle) => Accepted::Bundle(bundle),
        None => AcceptedFile::new(&config.outbox.path).read(),
    };
    BundleTrust::Keys(TrustedKeys {
        keys: config.bundle.trusted_keys.clone(),
        now: DateWindow::default().contains(now).then_some(now),
        accepted,
    })
}
