//! What each class of link is used for.

use super::priority::Priority;
use flukewatch_common::link_class::LinkClass;
use flukewatch_common::{presence, status_report};
use std::time::Duration;

/// How a class of link is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkProfile {
    /// Bytes an hour unless the configuration says otherwise; `None` for no limit.
    pub bytes_per_hour: Option<u64>,
    /// The size of a piece of a bundle, of a chunk of a requested file, and of a part of a picture, in bytes. A picture
    /// whose message is larger goes in parts.
    pub piece_bytes: u32,
    /// Whether identities go ahead of sightings, in messages of their own.
    pub identities_first: bool,
    /// The least important messages that are sent without a person's request.
    pub least_important: Priority,
    /// The largest message with a whole picture that is sent, in bytes, to a station that does not take it in parts.
    pub max_picture_bytes: u64,
    /// How often the status is reported.
    pub status_interval: Duration,
    /// The shortest time between two reports when the severity changes.
    pub min_status_interval: Duration,
    /// How often the boat's presence is reported.
    pub presence_interval: Duration,
    /// How often an idle connection is probed.
    pub keep_alive: Duration,
    /// The timeout for connecting, with the TLS handshake.
    pub connect_timeout: Duration,
    /// A message is sent again after this time at the earliest.
    pub min_ack_timeout: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

/// A link that is neither slow nor dear.
const UNLIMITED: LinkProfile = LinkProfile {
    bytes_per_hour: None,
    piece_bytes: 64 * 1024,
    identities_first: false,
    least_important: Priority::Clips,
    max_picture_bytes: u64::MAX,
    status_interval: status_report::INTERVAL,
    min_status_interval: Duration::ZERO,
    presence_interval: presence::INTERVAL,
    keep_alive: MINUTE,
    connect_timeout: Duration::from_secs(20),
    min_ack_timeout: Duration::ZERO,
};

impl LinkProfile {
    /// The profile of `class`.
    pub const fn of(class: LinkClass) -> Self {
        match class {
            LinkClass::Harbour => UNLIMITED,
            LinkClass::Lte => Self {
                bytes_per_hour: Some(200_000_000),
                piece_bytes: 32 * 1024,
                ..UNLIMITED
            },
            LinkClass::Starlink => Self {
                bytes_per_hour: Some(1_000_000_000),
                ..UNLIMITED
            },
            LinkClass::Vsat => Self {
                bytes_per_hour: Some(20_000_000),
                piece_bytes: 8 * 1024,
                identities_first: true,
                max_picture_bytes: 50_000,
                status_interval: Duration::from_secs(300),
                min_status_interval: MINUTE,
                presence_interval: Duration::from_secs(600),
                keep_alive: Duration::from_secs(300),
                connect_timeout: MINUTE,
                min_ack_timeout: Duration::from_secs(120),
                ..UNLIMITED
            },
            LinkClass::Iridium => Self {
                bytes_per_hour: Some(30_000),
                piece_bytes: 2 * 1024,
                identities_first: true,
                least_important: Priority::Identities,
                max_picture_bytes: 0,
                status_interval: Duration::from_secs(900),
                min_status_interval: Duration::from_secs(300),
                presence_interval: Duration::from_secs(3600),
                keep_alive: Duration::from_secs(600),
                // 4 kB at 2.4 kbit/s take 15 s.
                connect_timeout: Duration::from_secs(120),
                min_ack_timeout: Duration::from_secs(600),
            },
        }
    }

    /// Whether messages of this priority are sent without a person's request.
    pub fn carries(&self, priority: Priority) -> bool {
        priority <= self.least_important
    }
}
