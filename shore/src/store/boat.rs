//! What shore knows about a boat.

use super::bundle_transfer::BundleTransfer;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::link_report::LinkReport;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::status_report::{self, BoatCondition};
use std::time::Duration;

/// A range of a boat's sequence numbers, e.g. of sightings that it made and shore has not received.
/// Both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// How many gaps of a boat are listed; [`BoatStatus::missing`] counts all.
pub const MAX_GAPS: usize = 100;

/// A boat, as shore knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoatStatus {
    /// The boat's unique name.
    pub boat: BoatId,
    /// When its first message was stored.
    pub first_seen: Timestamp,
    /// When its last message was received.
    pub last_seen: Timestamp,
    /// Number of stored sightings.
    pub sightings: u64,
    /// Sightings of which only a brief is stored.
    pub briefs: u64,
    /// The highest sequence number; 0 before the first sighting.
    pub last_sequence: u64,
    /// Sequence numbers below the highest of their outbox that have not been received.
    pub missing: u64,
    /// The same as ranges, lowest first, at most [`MAX_GAPS`].
    pub gaps: Vec<Gap>,
    /// Outboxes that the boat has numbered its sightings in. A new one begins where the old one was
    /// lost or damaged.
    pub outboxes: u64,
    /// Sightings whose sequence number another sighting has too.
    pub duplicate_sequences: u64,
    /// Those among them whose number was used twice in one outbox: two computers send under the
    /// boat's name, or an outbox was copied.
    pub duplicates_in_outbox: u64,
    /// The numbers that several sightings have, as ranges, lowest first, at most [`MAX_GAPS`].
    pub repeated: Vec<Gap>,
    /// Sightings whose picture has not been received, or not as announced.
    pub pictures_missing: u64,
    /// Pictures whose sighting has not been received.
    pub pictures_without_sighting: u64,
    /// The last status report; `None` from boats of an older version.
    pub last_report: Option<LastReport>,
    /// The bundles that it was offered, newest first, at most [`MAX_TRANSFERS`](super::MAX_TRANSFERS).
    pub transfers: Vec<BundleTransfer>,
}

/// The last status report of a boat.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReport {
    /// When it was received; of one that the broker retained, when the boat sent it.
    pub received: Timestamp,
    /// When the connection that it was sent over ended, if it did.
    pub offline_since: Option<Timestamp>,
    /// How the boat was.
    pub condition: BoatCondition,
}

/// Whether a boat is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It reports.
    Online,
    /// It has not reported for [`status_report::TIMEOUT`], or for three of the intervals that it announced, and no
    /// broker has noticed.
    TimedOut,
    /// Its connection has ended.
    Offline,
}

impl Contact {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::TimedOut => "timed_out",
            Self::Offline => "offline",
        }
    }
}

impl LastReport {
    /// Whether the boat is connected at `now`.
    pub fn contact(&self, now: Timestamp) -> Contact {
        let interval = self.condition.link.as_ref();
        let interval = interval.map_or(Duration::ZERO, LinkReport::report_interval);
        let timeout = status_report::TIMEOUT.max(3 * interval);
        let timeout = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        if self.offline_since.is_some() {
            Contact::Offline
        } else if now.millis_since(self.received) > timeout {
            Contact::TimedOut
        } else {
            Contact::Online
        }
    }
}
