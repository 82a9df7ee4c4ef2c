//! `[uplink]`

use super::checks::Checks;
use super::link::{BytesPerHour, RouteEntry, ScheduleEntry, check_routes, check_schedule};
use crate::link_budget::LinkSettings;
use crate::uplink::{AccessSettings, BrokerError, MAX_WINDOW, ShoreAccess};
use flukewatch_common::broker_url::{BrokerEnvironment, BrokerUrl, redact};
use flukewatch_common::link_class::LinkClass;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The connection to the broker, section `[uplink]`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkSection {
    /// `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for an encrypted connection.
    pub broker: String,
    /// The folder that `flukewatch-shore provision` made for this boat: it signs its messages, and
    /// identifies itself to an encrypted broker; empty for none.
    #[serde(default)]
    pub identity: PathBuf,
    /// Whether messages to another computer may go unsigned, and acknowledgements too.
    #[serde(default)]
    pub allow_unsigned: bool,
    /// The broker's user; empty for that of the environment or the URL.
    #[serde(default)]
    pub user: String,
    /// A file with the user's password; empty for that of the environment or the URL.
    #[serde(default)]
    pub password_file: PathBuf,
    /// Certificates of the authorities that may sign the broker's; empty for those of the identity or the
    /// system.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// The boat's certificate; empty for that of the identity.
    #[serde(default)]
    pub certificate_file: PathBuf,
    /// The key of that certificate, and of the boat's signatures; empty for that of the identity.
    #[serde(default)]
    pub key_file: PathBuf,
    /// Maximum number of messages in flight.
    #[serde(default = "default_window")]
    pub window: usize,
    /// A message that shore has not acknowledged after this many seconds is sent again.
    #[serde(default = "default_ack_timeout")]
    pub ack_timeout_seconds: f64,
    /// Maximum backoff between two attempts to connect, in seconds.
    #[serde(default = "default_max_backoff")]
    pub max_backoff_seconds: f64,
    /// The class of the link where nothing else chooses one.
    #[serde(default)]
    pub link: LinkClass,
    /// A file that names the class in use; empty for none.
    #[serde(default)]
    pub link_file: PathBuf,
    /// Network interfaces with a class.
    #[serde(default)]
    pub route: Vec<RouteEntry>,
    /// Parts of the day with a class.
    #[serde(default)]
    pub schedule: Vec<ScheduleEntry>,
    /// Bytes an hour of each class.
    #[serde(default)]
    pub bytes_per_hour: BytesPerHour,
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

    /// How the class of the link is chosen.
    pub fn link_settings(&self) -> LinkSettings {
        let schedule = self.schedule.iter();
        let routes = self.route.iter();
        LinkSettings {
            link: self.link,
            schedule: schedule
                .filter_map(|entry| Some((entry.span().ok()?, entry.link)))
                .collect(),
            routes: routes
                .map(|entry| (entry.interface.clone(), entry.link))
                .collect(),
            file: Some(self.link_file.clone()).filter(|file| !file.as_os_str().is_empty()),
            limits: self.bytes_per_hour.limits(),
        }
    }

    /// The broker with user and password, which the section, the environment or the URL gives, and who
    /// the boat is there.
    ///
    /// # Errors
    /// When a file cannot be read, or only one of user and password is known.
    pub fn access(&self, environment: &BrokerEnvironment) -> Result<ShoreAccess, BrokerError> {
        let settings = AccessSettings {
            url: &self.broker,
            user: &self.user,
            password_file: &self.password_file,
            identity: &self.identity,
            ca_file: &self.ca_file,
            certificate_file: &self.certificate_file,
            key_file: &self.key_file,
        };
        ShoreAccess::new(settings, environment)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        let broker = self.broker.parse::<BrokerUrl>();
        let elsewhere = broker.as_ref().is_ok_and(|url| !url.is_loopback());
        checks.parses("broker", broker);
        if elsewhere && !self.allow_unsigned && self.identity.as_os_str().is_empty() {
            let fault = "the broker is on another computer, where others could forge messages: set identity to the \
                         folder that `flukewatch-shore provision BOAT` makes, or, in a lab, allow_unsigned = true";
            checks.fault("broker", fault);
        }
        checks.range("window", self.window as f64, 1.0, MAX_WINDOW as f64);
        checks.range(
            "ack_timeout_seconds",
            self.ack_timeout_seconds,
            0.1,
            86_400.0,
        );
        checks.range("max_backoff_seconds", self.max_backoff_seconds, 0.1, 3600.0);
        check_routes(&self.route, checks);
        check_schedule(&self.schedule, checks);
        self.bytes_per_hour.check(checks);
    }
}

/// Without the broker's password.
impl fmt::Debug for UplinkSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UplinkSection")
            .field("broker", &redact(&self.broker))
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("identity", &self.identity)
            .field("allow_unsigned", &self.allow_unsigned)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("window", &self.window)
            .field("ack_timeout_seconds", &self.ack_timeout_seconds)
            .field("max_backoff_seconds", &self.max_backoff_seconds)
            .field("link", &self.link)
            .field("link_file", &self.link_file)
            .field("route", &self.route)
            .field("schedule", &self.schedule)
            .field("bytes_per_hour", &self.bytes_per_hour)
            .finish()
    }
}
