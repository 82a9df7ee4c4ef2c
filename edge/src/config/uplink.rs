//! `[uplink]`

use super::checks::Checks;
use crate::uplink::{BrokerUrl, MAX_WINDOW};
use serde::Deserialize;
use std::time::Duration;

/// The connection to the broker, section `[uplink]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSection {
    /// `mqtt://[user:password@]host[:port]`, or `mqtts://` in a program built with the feature
    /// `tls`.
    pub broker: String,
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

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.parses("broker", self.broker.parse::<BrokerUrl>());
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
