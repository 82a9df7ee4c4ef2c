//! How ingest connects.

use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Session, Settings, Subscription, TlsFiles};
use flukewatch_trust::SEAL_BYTES;
use std::time::Duration;

const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_IN_FLIGHT: u16 = 200;
/// Room for a signature, a topic and a packet id around the largest message.
const MAX_PACKET_BYTES: usize = wire::MAX_MESSAGE + SEAL_BYTES + 1024;
/// What boats send while the station is away is kept for so long. They send it again anyway.
const SESSION_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// A broker, and how ingest identifies itself there.
#[derive(Clone, Debug)]
pub struct BrokerAccess {
    /// Its URL with user and password.
    pub url: BrokerUrl,
    /// Certificates for `mqtts://`.
    pub tls: TlsFiles,
    /// The client's id; the same after a restart where the broker keeps the session.
    pub client_id: String,
    /// The group whose members divide the messages, where several stations use one broker; `None`: this
    /// one receives all. A name that boats cannot know: who joins a group is dealt some of its messages.
    pub group: Option<String>,
    /// Whether the broker keeps messages while the station is away.
    pub persistent: bool,
}

/// The settings of a connection with room for `queue` messages and acknowledgements.
pub(super) fn settings(access: &BrokerAccess, queue: usize) -> Settings {
    let divided = |filter: &str| Subscription {
        group: access.group.clone(),
        ..Subscription::at_least_once(filter)
    };
    Settings {
        tls: access.tls.clone(),
        session: if access.persistent {
            Session::Persistent(SESSION_EXPIRY)
        } else {
            Session::Clean
        },
        subscriptions: vec![
            divided(topic::ALL_SIGHTINGS),
            divided(topic::ALL_PICTURES),
            Subscription::at_most_once(topic::ALL_PRESENCES),
            // A group receives no retained messages.
            Subscription::at_least_once(topic::ALL_STATUSES),
            // Each station knows its own offers only.
            Subscription::at_least_once(topic::ALL_REQUESTS),
            divided(topic::ALL_BRIEFS),
            // Each station knows its own requests only.
            Subscription::at_least_once(topic::ALL_CHUNKS),
        ],
        manual_acks: true,
        keep_alive: KEEP_ALIVE,
        connect_timeout: CONNECT_TIMEOUT,
        write_timeout: WRITE_TIMEOUT,
        max_packet_bytes: MAX_PACKET_BYTES,
        max_in_flight: MAX_IN_FLIGHT,
        max_queued: queue,
        ..Settings::new(access.url.clone(), access.client_id.clone())
    }
}
