//! Takes messages of the station.

use super::received_settings::{ReceivedSettings, Taken};
use crate::config::Config;
use flukewatch_common::boat_settings::{BoatSettings, MAX_REVISION};
use flukewatch_common::wire;

/// Takes a message with settings, whose signature is verified where there are any. Returns whether the next session
/// uses other values.
pub fn take(message: &[u8], config: &Config) -> bool {
    let settings = match wire::decode::<BoatSettings>(message) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(%error, "ignoring malformed settings from shore");
            return false;
        }
    };
    let revision = settings.revision;
    if settings.boat.as_str() != config.boat.name {
        tracing::warn!(boat = %settings.boat, revision, "ignoring settings for another boat");
        return false;
    }
    if !(1..=MAX_REVISION).contains(&revision) {
        tracing::warn!(revision, "ignoring settings with an impossible revision");
        return false;
    }
    match ReceivedSettings::of(config).receive(&settings) {
        Ok(Taken::Known) => {
            tracing::debug!(revision, "ignoring settings from shore that are not newer");
            false
        }
        Ok(Taken::Rejected(reason)) => {
            tracing::error!(revision, reason, "settings from shore rejected");
            false
        }
        Ok(Taken::Accepted) => {
            tracing::info!(
                revision,
                "settings from shore accepted; starting with them on trial"
            );
            true
        }
        // The broker sends them again with the next connection.
        Err(error) => {
            tracing::warn!(%error, revision, "cannot note the settings from shore");
            false
        }
    }
}
