//! The uplink over MQTT.
//!
//! Every connection is a clean session with a new client: what a connection had queued when it ended is
//! known to the uploader, which sends it again. Where the boat has an identity, what it sends is signed,
//! and what is not signed by the station is ignored.

use super::identity::Identity;
use super::link::{LinkError, MAX_WINDOW, Uplink, UplinkEvent};
use super::shore_access::ShoreAccess;
use crate::bundle_mailbox::FromShore;
use crate::health::Counters;
use crate::outbox::Key;
use flukewatch_common::bundle_transfer::TransferReport;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::topic;
use flukewatch_common::wire::{self, MAX_MESSAGE, Message};
use flukewatch_mqtt::{
    Connection, Dialer, Event, MqttError, MqttErrorKind, Outgoing, Received, Settings,
    Subscription, Will,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The largest MQTT packet: a message, its signature, topic and header.
const MAX_PACKET: usize = MAX_MESSAGE + 4 * 1024;
/// A request for a piece of a bundle that is older is repeated by then.
const REQUEST_EXPIRY: Duration = Duration::from_secs(30);
/// A chunk of a file that is older is repeated by then: a broker need not keep it for a station that is away.
const CHUNK_EXPIRY: Duration = Duration::from_secs(600);
/// A broker does not deliver a presence later than this.
const PRESENCE_EXPIRY: Duration = Duration::from_secs(60);

/// A boat's link to an MQTT broker.
pub struct MqttUplink {
    dialer: Dialer,
    boat: BoatId,
    identity: Option<Identity>,
    counters: Arc<Counters>,
    connection: Option<OpenConnection>,
}

struct OpenConnection {
    connection: Connection,
    /// Sent and not yet accepted by the broker, by their tokens.
    unaccepted: HashMap<u64, Published>,
    last_token: u64,
}

/// What a message at QoS 1 carries.
#[derive(Clone, Copy, Debug)]
enum Published {
    Message(Key),
    Status,
    Request,
    Chunk,
}

impl MqttUplink {
    /// A link that is not connected yet. `instance` makes its client id unique: two boats of one name
    /// would otherwise take over each other's session again and again. `counters` counts messages with
    /// invalid signatures.
    pub fn new(access: ShoreAccess, boat: BoatId, instance: Uuid, counters: Arc<Counters>) -> Self {
        let instance = instance.simple().to_string();
        let client_id = format!("flukewatch-edge-{boat}-{}", &instance[..8]);
        let settings = Settings {
            tls: access.tls,
            subscriptions: vec![
                Subscription::at_least_once(topic::of_acks(&boat)),
                Subscription::at_most_once(topic::of_presence(&boat)),
                Subscription::at_least_once(topic::of_offer(&boat)),
                Subscription::at_most_once(topic::of_content(&boat)),
                Subscription::at_least_once(topic::of_commands(&boat)),
                Subscription::at_least_once(topic::of_settings(&boat)),
            ],
            max_packet_bytes: MAX_PACKET,
            max_in_flight: 2 * MAX_WINDOW as u16,
            max_queued: 2 * MAX_WINDOW,
            ..Settings::new(access.broker, client_id)
        };
        Self {
            dialer: Dialer::new(settings),
            boat,
            identity: access.identity,
            counters,
            connection: None,
        }
    }

    /// The message as it is sent.
    fn seal(&self, message: Vec<u8>) -> Vec<u8> {
        match &self.identity {
            Some(identity) => identity.seal(&message),
            None => message,
        }
    }

    /// What is inside a message of the station or, on the presence topic, of a boat; `None` where it has no
    /// valid signature.
    fn open(&self, received: &Received) -> Option<Vec<u8>> {
        let Some(identity) = &self.identity else {
            return Some(received.payload.to_vec());
        };
        let opened = if received.topic == topic::of_presence(&self.boat) {
            identity.open_from_boat(&received.payload)
        } else {
            identity.open_from_station(&received.payload)
        };
        match opened {
            Ok(message) => Some(message.to_vec()),
            Err(error) => {
                if self.counters.invalid_signature() == 1 {
                    tracing::error!(
                        topic = received.topic,
                        %error,
                        "ignoring a message without a valid signature: someone else may publish on the broker, \
                         or the identity is of another station"
                    );
                } else {
                    tracing::debug!(topic = received.topic, %error, "ignoring message");
                }
                None
            }
        }
    }

    /// What a message that arrived means; `None` where it is on no topic of this boat, or has no valid
    /// signature.
    fn translate(&self, received: &Received) -> Option<UplinkEvent> {
        let topic = &received.topic;
        // The broker deletes a retained message in this way; it can do so whatever is signed.
        if *topic == topic::of_offer(&self.boat) && received.payload.is_empty() {
            return Some(UplinkEvent::Bundle(FromShore::Withdrawn));
        }
        if *topic == topic::of_commands(&self.boat) && received.payload.is_empty() {
            return Some(UplinkEvent::Command(vec![]));
        }
        // It does not end settings: only a newer message does.
        if *topic == topic::of_settings(&self.boat) && received.payload.is_empty() {
            return None;
        }
        let event: fn(Vec<u8>) -> UplinkEvent = match topic {
            t if *t == topic::of_acks(&self.boat) => UplinkEvent::Ack,
            t if *t == topic::of_presence(&self.boat) => UplinkEvent::Presence,
            t if *t == topic::of_offer(&self.boat) => |m| UplinkEvent::Bundle(FromShore::Offer(m)),
            t if *t == topic::of_content(&self.boat) => {
                |m| UplinkEvent::Bundle(FromShore::Content(m))
            }
            t if *t == topic::of_commands(&self.boat) => UplinkEvent::Command,
            t if *t == topic::of_settings(&self.boat) => UplinkEvent::Settings,
            _ => return None,
        };
        self.open(received).map(event)
    }

    /// Queues a message at QoS 1. `false`: the queue is full.
    fn publish(&mut self, message: &Outgoing, published: Published) -> Result<bool, LinkError> {
        let open = self.connection.as_mut().ok_or_else(not_connected)?;
        let token = open.last_token + 1;
        let publisher = open.connection.publisher();
        let queued = publisher
            .try_publish(message, Some(token))
            .map_err(link_error)?;
        if queued {
            open.last_token = token;
            open.unaccepted.insert(token, published);
        }
        Ok(queued)
    }
}

impl Uplink for MqttUplink {
    async fn connect(&mut self, last_will: Option<Vec<u8>>) -> Result<(), LinkError> {
        self.connection = None;
        let will = last_will.map(|message| Will {
            topic: topic::of_status(&self.boat),
            payload: self.seal(message).into(),
        });
        let connection = self.dialer.connect(will).await.map_err(link_error)?;
        if connection.granted().first() != Some(&true) {
            return Err(LinkError::new(
                "subscription to the acknowledgement topic rejected; does the certificate belong to this boat?",
            ));
        }
        // Delivery works without it.
        if connection.granted().get(1) != Some(&true) {
            tracing::debug!("subscription to the presence topic rejected");
        }
        if connection.granted().get(2..4) != Some(&[true, true]) {
            tracing::warn!(
                "subscription to offer and content rejected: the boat receives no bundles over the air. Permit \
                 flukewatch/v1/+/offer and flukewatch/v1/+/content on the broker"
            );
        }
        if connection.granted().get(4) != Some(&true) {
            tracing::warn!(
                "subscription to commands rejected: shore cannot request clips and crops. Permit flukewatch/v1/+/command and \
                 flukewatch/v1/+/chunk on the broker"
            );
        }
        if connection.granted().get(5) != Some(&true) {
            tracing::warn!(
                "subscription to settings rejected: nothing can be set from shore. Permit \
                 flukewatch/v1/+/settings on the broker"
            );
        }
        tracing::debug!(version = ?connection.version(), "MQTT connected");
        self.connection = Some(OpenConnection {
            connection,
            unaccepted: HashMap::new(),
            last_token: 0,
        });
        Ok(())
    }

    fn set_timing(&mut self, keep_alive: Duration, connect_timeout: Duration) {
        self.dialer.set_timing(keep_alive, connect_timeout);
    }

    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError> {
        // Shore would not read it.
        if message.len() > MAX_MESSAGE {
            return Err(LinkError::new(format!(
                "message of {} bytes exceeds the limit",
                message.len()
            )));
        }
        let message = Outgoing::at_least_once(topic, self.seal(message));
        self.publish(&message, Published::Message(key))
    }

    fn announce(&mut self, message: Vec<u8>) -> Result<(), LinkError> {
        let message = Outgoing::at_most_once(topic::of_presence(&self.boat), self.seal(message));
        let open = self.connection.as_mut().ok_or_else(not_connected)?;
        let publisher = open.connection.publisher();
        // Where the queue is full, the next one will do.
        publisher
            .try_publish(&message.expiring_after(PRESENCE_EXPIRY), None)
            .map_err(link_error)?;
        Ok(())
    }

    fn report_status(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        let message = Outgoing::at_least_once(topic::of_status(&self.boat), self.seal(message));
        self.publish(&message.retained(), Published::Status)
    }

    fn request(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        let is_report = wire::kind(&message) == Some(TransferReport::KIND);
        let message = Outgoing::at_least_once(topic::of_requests(&self.boat), self.seal(message));
        let message = if is_report {
            message
        } else {
            message.expiring_after(REQUEST_EXPIRY)
        };
        self.publish(&message, Published::Request)
    }

    fn send_chunk(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        let message = Outgoing::at_least_once(topic::of_chunks(&self.boat), self.seal(message));
        self.publish(&message.expiring_after(CHUNK_EXPIRY), Published::Chunk)
    }

    async fn event(&mut self) -> Result<UplinkEvent, LinkError> {
        loop {
            let open = self.connection.as_mut().ok_or_else(not_connected)?;
            match open.connection.event().await.map_err(link_error)? {
                Event::Accepted(token) => match open.unaccepted.remove(&token) {
                    Some(Published::Message(key)) => return Ok(UplinkEvent::BrokerAccepted(key)),
                    Some(Published::Status) => return Ok(UplinkEvent::StatusAccepted),
                    Some(Published::Request | Published::Chunk) | None => {}
                },
                Event::Rejected { token, reason } => match open.unaccepted.remove(&token) {
                    Some(Published::Message(_)) => {
                        return Err(LinkError::new(format!(
                            "the broker rejected a message: {reason}; does the certificate belong to this boat?"
                        )));
                    }
                    what => tracing::debug!(reason, ?what, "rejected by the broker"),
                },
                Event::Received(received) => {
                    if let Some(event) = self.translate(&received) {
                        return Ok(event);
                    }
                }
            }
        }
    }
}

fn not_connected() -> LinkError {
    LinkError::new("not connected")
}

fn link_error(error: MqttError) -> LinkError {
    let message = match error.kind {
        MqttErrorKind::NotAuthorized => format!(
            "{error}; check uplink.user and the password, or uplink.identity and whether the station revoked it"
        ),
        _ => error.to_string(),
    };
    LinkError {
        message,
        closed_by_broker: error.kind == MqttErrorKind::ClosedByBroker,
    }
}
