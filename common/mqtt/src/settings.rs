//! How to connect, and what to subscribe to.

use crate::tls::TlsFiles;
use bytes::Bytes;
use flukewatch_common::broker_url::BrokerUrl;
use std::time::Duration;

/// Packets that are written together where so many are queued: in one TLS record rather than one each.
pub(crate) const MAX_WRITE_BATCH: usize = 64;

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// What the broker keeps while the client is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing.
    Clean,
    /// Subscriptions, and messages for them. In MQTT 5 for this long; 3.1.1 has no limit.
    Persistent(Duration),
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter.
    pub filter: String,
    /// Whether the broker repeats a message until it is acknowledged (QoS 1).
    pub at_least_once: bool,
    /// The group among whose members the broker divides the messages. Only MQTT 5 has groups: with
    /// 3.1.1, every member receives all messages.
    pub group: Option<String>,
}

impl Subscription {
    /// A subscription at QoS 1.
    pub fn at_least_once(filter: impl Into<String>) -> Self {
        Self {
            filter: filter.into(),
            at_least_once: true,
            group: None,
        }
    }

    /// A subscription at QoS 0.
    pub fn at_most_once(filter: impl Into<String>) -> Self {
        Self {
            at_least_once: false,
            ..Self::at_least_once(filter)
        }
    }

    /// The filter as it is sent.
    pub(crate) fn path(&self, version: Version) -> String {
        match (&self.group, version) {
            (Some(group), Version::V5) => format!("$share/{group}/{}", self.filter),
            _ => self.filter.clone(),
        }
    }
}

/// What the broker publishes, retained and at QoS 1, when the connection ends without a farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The topic.
    pub topic: String,
    /// The content.
    pub payload: Bytes,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker with user and password.
    pub broker: BrokerUrl,
    /// Certificates for `mqtts://`.
    pub tls: TlsFiles,
    /// The client's id; a broker closes the older one of two connections with one id.
    pub client_id: String,
    /// What the broker keeps.
    pub session: Session,
    /// The subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Whether received messages of QoS 1 are acknowledged by the user of the connection, rather than
    /// on arrival.
    pub manual_acks: bool,
    /// How often an idle connection is probed.
    pub keep_alive: Duration,
    /// Timeout for connecting and subscribing together.
    pub connect_timeout: Duration,
    /// Timeout of one write. MQTT 5 has none: there the keep-alive ends a connection that stalls.
    pub write_timeout: Duration,
    /// The largest packet to receive, in bytes.
    pub max_packet_bytes: usize,
    /// Messages of QoS 1 that may be sent without an acknowledgement of the broker.
    pub max_in_flight: u16,
    /// Messages and acknowledgements that may be queued.
    pub max_queued: usize,
}

impl Settings {
    /// A client with a clean session and no subscriptions.
    pub fn new(broker: BrokerUrl, client_id: impl Into<String>) -> Self {
        Self {
            broker,
            tls: TlsFiles::default(),
            client_id: client_id.into(),
            session: Session::Clean,
            subscriptions: vec![],
            manual_acks: false,
            keep_alive: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(120),
            max_packet_bytes: 512 * 1024,
            max_in_flight: 100,
            max_queued: 100,
        }
    }
}
