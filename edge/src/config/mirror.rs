//! `[mirror]`

use super::checks::Checks;
use crate::uplink::{AccessSettings, BrokerError, ShoreAccess};
use flukewatch_common::broker_url::{BrokerEnvironment, BrokerUrl, redact};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A broker on board that gets status and sightings as JSON, section `[mirror]`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MirrorSection {
    /// `mqtt://[user[:password]@]host[:port]`, or `mqtts://`; empty for no mirror.
    pub broker: String,
    /// The broker's user; empty for that of the URL.
    pub user: String,
    /// A file with the user's password; empty for that of the URL.
    pub password_file: PathBuf,
    /// Certificates of the authorities that may sign the broker's; empty for those of the system.
    pub ca_file: PathBuf,
    /// The first level of the topics.
    pub topic: String,
    /// How often status and sightings are read, in seconds.
    pub interval_seconds: f64,
    /// The topic of Home Assistant's discovery, usually `homeassistant`; empty for none.
    pub home_assistant: String,
}

impl Default for MirrorSection {
    fn default() -> Self {
        Self {
            broker: String::new(),
            user: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            topic: "flukewatch".into(),
            interval_seconds: 5.0,
            home_assistant: String::new(),
        }
    }
}

impl MirrorSection {
    /// How often status and sightings are read.
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval_seconds)
    }

    /// The broker; without the boat's identity, which is for shore, and without what the environment says of shore's broker.
    ///
    /// # Errors
    /// When a file cannot be read, or only one of user and password is known.
    pub fn access(&self) -> Result<ShoreAccess, BrokerError> {
        let none = Path::new("");
        let settings = AccessSettings {
            url: &self.broker,
            user: &self.user,
            password_file: &self.password_file,
            identity: none,
            ca_file: &self.ca_file,
            certificate_file: none,
            key_file: none,
        };
        ShoreAccess::new(settings, &BrokerEnvironment::default())
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if !self.broker.is_empty() {
            checks.parses("broker", self.broker.parse::<BrokerUrl>());
        }
        checks.range("interval_seconds", self.interval_seconds, 1.0, 3600.0);
        for (key, topic) in [
            ("topic", &self.topic),
            ("home_assistant", &self.home_assistant),
        ] {
            let characters = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
            let levels = topic.split('/').all(|level| !level.is_empty());
            let is_valid = levels && topic.len() <= 64 && topic.chars().all(characters);
            let is_none = key == "home_assistant" && topic.is_empty();
            if !is_valid && !is_none {
                let problem = "must be 1 to 64 of the characters a-z, A-Z, 0-9, - and _, in levels divided by /";
                checks.fault(key, problem);
            }
        }
    }
}

/// Without the broker's password.
impl fmt::Debug for MirrorSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorSection")
            .field("broker", &redact(&self.broker))
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("topic", &self.topic)
            .field("interval_seconds", &self.interval_seconds)
            .field("home_assistant", &self.home_assistant)
            .finish()
    }
}
