//! `[uplink]`

use super::checks::Checks;
use crate::uplink::{self, BrokerError, MAX_WINDOW};
use flukewatch_common::broker_url::{BrokerEnvironment, BrokerUrl, redact};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The connection to the broker, section `[uplink]`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSection {
    /// `mqtt://[user[:password]@]host[:port]`, or `mqtts://` in a program built with the feature
    /// `tls`.
    pub broker: String,
    /// The broker's user; empty for that of the environment or the URL.
    #[serde(default)]
    pub user: String,
    /// A file with the user's password; empty for that of the environment or the URL.
    #[serde(default)]
    pub password_file: PathBuf,
    /// Maximum number of messages in flight.
    #[serde(default = "default_window")]
    pub window: usize,
    /// A message that shore has not acknowledged after this many seconds is sent again.
    #[serde(default = "default_ack_timeout")]
    pub ack_timeout_seconds: f64,
    /// Maximum backoff between two attempts to connect, in seconds.
    #[serde(default = "default_max_backoff")]
    pub max_backoff_seconds: f64,
}

fn default_window() -> usize {
    MAX_WINDOW
}

fn default_ack_timeout() -> f64 {
    60.0
}

fn default_max_backoff() -> f64 {
    30.0
}

impl UplinkSection {
    /// How long a message waits for its acknowledgement before it is sent again.
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.ack_timeout_seconds)
    }

    /// The longest backoff between two attempts to connect.
    pub fn max_backoff(&self) -> Duration {
        Duration::from_secs_f64(self.max_backoff_seconds)
    }

    /// The broker with user and password, which the section, the environment or the URL gives.
    ///
    /// # Errors
    /// When the password file cannot be read, or only one of user and password is known.
    pub fn broker(&self, environment: &BrokerEnvironment) -> Result<BrokerUrl, BrokerError> {
        uplink::broker(&self.broker, &self.user, &self.password_file, environment)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        match self.broker.parse::<BrokerUrl>() {
            Ok(url) if url.tls && cfg!(not(feature = "tls")) => {
                checks.fault("broker", BrokerError::NoTls.to_string());
            }
            other => checks.parses("broker", other),
        }
        checks.range("window", self.window as f64, 1.0, MAX_WINDOW as f64);
        checks.range(
            "ack_timeout_seconds",
            self.ack_timeout_seconds,
            0.1,
            86_400.0,
        );
        checks.range("max_backoff_seconds", self.max_backoff_seconds, 0.1, 3600.0);
    }
}

/// Without the broker's password.
impl fmt::Debug for UplinkSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UplinkSection")
            .field("broker", &redact(&self.broker))
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("window", &self.window)
            .field("ack_timeout_seconds", &self.ack_timeout_seconds)
            .field("max_backoff_seconds", &self.max_backoff_seconds)
            .finish()
    }
}
