//! A configuration with the settings from shore.

use super::received_settings::ReceivedSettings;
use crate::config::Config;

/// `config` with the settings in use in place of the file's values, and their revision; 0 where the file's are
/// used.
pub fn overlay(config: &Config) -> (Config, u64) {
    let (revision, settings) = ReceivedSettings::of(config).in_use();
    (config.clone().with_settings(&settings), revision)
}
