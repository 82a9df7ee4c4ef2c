//! How a boat is, as it reports to shore every minute.

use crate::boat_settings::{InvalidSettingsReport, SettingsReport};
use crate::clock::Timestamp;
use crate::link_report::{InvalidLinkReport, LinkReport};
use crate::severity::Severity;
use crate::sighting::BoatId;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How often a connected boat reports at least, unless its link is dear ([`LinkReport`]). It reports at
/// once when its severity changes.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// A boat that has not reported for this long, or for three of its announced intervals, is not connected,
/// also where no broker has noticed.
pub const TIMEOUT: Duration = Duration::from_secs(180);
/// The limit of [`BoatCondition::problems`] in bytes: a report has about 200 bytes.
pub const MAX_PROBLEMS_BYTES: usize = 120;
/// The limit of [`BoatCondition::version`] and of [`BoatCondition::bundle`] in bytes.
const MAX_NAME_BYTES: usize = 32;

/// A retained message with a boat's condition; or, as the MQTT last will, that its connection ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The boat's name.
    pub boat: BoatId,
    /// The connection that it was sent over: the last will of an earlier one may arrive late.
    pub connection: ConnectionId,
    /// The boat's condition; `None` in the last will.
    pub condition: Option<BoatCondition>,
}

/// Identifies a connection of a boat to its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionId {
    /// Random, chosen when the boat's process starts.
    pub instance: Uuid,
    /// The process's connections, counted from 1.
    pub number: u32,
}

/// How a boat is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoatCondition {
    /// When, by the boat's UTC clock.
    pub at: Timestamp,
    /// The worst severity of any part.
    pub severity: Severity,
    /// The problems in words, the worst first; empty where there are none. One line of at most
    /// [`MAX_PROBLEMS_BYTES`].
    pub problems: String,
    /// The version of the program.
    pub version: String,
    /// The first characters of the id of the bundle in use.
    pub bundle: String,
    /// Latitude and longitude in degrees (WGS 84); `None` where they are unknown.
    pub position: Option<(f64, f64)>,
    /// The number of cameras.
    pub cameras: u16,
    /// The number of those whose frames are searched for flukes.
    pub cameras_searched: u16,
    /// Messages that shore has not acknowledged.
    pub pending: u64,
    /// The age of the oldest of them, in seconds of operation; `None` where nothing is pending.
    pub oldest_pending_seconds: Option<u64>,
    /// The link's class and budget; `None` in harbour. Since version 2 of the message.
    pub link: Option<LinkReport>,
    /// What has become of the settings from shore; `None` where the boat has received none. Since version 3 of
    /// the message.
    pub settings: Option<SettingsReport>,
}

/// A condition with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// The time cannot be represented.
    #[error("time out of range")]
    Time,
    /// A text is too long, or more than one line.
    #[error("problems, version or bundle too long, or not in one line")]
    Text,
    /// The position is not on Earth.
    #[error("position out of range")]
    Position,
    /// More cameras are searched than there are.
    #[error("more cameras searched than there are")]
    Cameras,
    /// A count is out of range.
    #[error("number of pending messages or their age out of range")]
    Pending,
    /// The state of the link is impossible.
    #[error(transparent)]
    Link(#[from] InvalidLinkReport),
    /// What is said of the settings is impossible.
    #[error(transparent)]
    Settings(#[from] InvalidSettingsReport),
}

impl BoatCondition {
    /// Validates a condition from outside.
    ///
    /// # Errors
    /// For the first value out of range.
    pub fn validate(&self) -> Result<(), InvalidCondition> {
        let fits = |text: &str, bytes| text.len() <= bytes && !text.contains(char::is_control);
        let on_earth = |(latitude, longitude): (f64, f64)| {
            (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)
        };
        let countable = |number: u64| i64::try_from(number).is_ok();
        if jiff::Timestamp::from_millisecond(self.at.0).is_err() {
            Err(InvalidCondition::Time)
        } else if !fits(&self.problems, MAX_PROBLEMS_BYTES)
            || !fits(&self.version, MAX_NAME_BYTES)
            || !fits(&self.bundle, MAX_NAME_BYTES)
        {
            Err(InvalidCondition::Text)
        } else if !self.position.is_none_or(on_earth) {
            Err(InvalidCondition::Position)
        } else if self.cameras_searched > self.cameras {
            Err(InvalidCondition::Cameras)
        } else if !countable(self.pending) || !self.oldest_pending_seconds.is_none_or(countable) {
            Err(InvalidCondition::Pending)
        } else {
            self.link.as_ref().map_or(Ok(()), LinkReport::validate)?;
            let settings = self.settings.as_ref();
            Ok(settings.map_or(Ok(()), SettingsReport::validate)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn values_out_of_range_are_invalid() {
        type Change = fn(&mut BoatCondition);
        let changes: [(Change, InvalidCondition); 11] = [
            (|c| c.at = Timestamp(i64::MAX), InvalidCondition::Time),
            (
                |c| c.problems = "x".repeat(MAX_PROBLEMS_BYTES + 1),
                InvalidCondition::Text,
            ),
            (|c| c.problems = "a\nb".into(), InvalidCondition::Text),
            (|c| c.version = "1".repeat(99), InvalidCondition::Text),
            (|c| c.bundle = "\x1b[31m".into(), InvalidCondition::Text),
            (
                |c| c.position = Some((91.0, 0.0)),
                InvalidCondition::Position,
            ),
            (
                |c| c.position = Some((0.0, f64::NAN)),
                InvalidCondition::Position,
            ),
            (|c| c.cameras_searched = 99, InvalidCondition::Cameras),
            (|c| c.pending = u64::MAX, InvalidCondition::Pending),
            (
                |c| c.link.as_mut().unwrap().bytes_left = u64::MAX,
                InvalidCondition::Link(InvalidLinkReport),
            ),
            (
                |c| c.settings.as_mut().unwrap().in_use = 99,
                InvalidCondition::Settings(InvalidSettingsReport),
            ),
        ];
        let mut condition = samples::status_report().condition.unwrap();
        condition.link = Some(samples::link_report());
        condition.settings = Some(samples::settings_report());
        assert_eq!(condition.validate(), Ok(()));
        for (change, expected) in changes {
            let mut condition = condition.clone();
            change(&mut condition);
            assert_eq!(condition.validate(), Err(expected));
        }
    }

    #[test]
    fn severities_have_names() {
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Some(severity));
        }
        assert_eq!(Severity::parse("fatal"), None);
    }
}
