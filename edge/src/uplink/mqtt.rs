//! MQTT 3.1.1 at QoS 1, through `rumqttc`.
//!
//! Every connection is a clean session with a new event loop, since `rumqttc` silently drops its
//! queue when a session ends. The loop runs in a separate task: it must not be stopped in the
//! middle of a packet.

use super::link::{LinkError, MAX_WINDOW, Uplink, UplinkEvent};
use crate::outbox::Key;
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::topic;
use flukewatch_common::wire::MAX_MESSAGE;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Outgoing, Packet, QoS, StateError, SubscribeFilter, SubscribeReasonCode,
};
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The largest MQTT packet: a message, its topic and header.
const MAX_PACKET: usize = MAX_MESSAGE + 4 * 1024;
/// Timeout for connecting and subscribing together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of one write, in seconds; a picture on a slow link takes long.
const WRITE_TIMEOUT: u64 = 120;
/// How often an idle connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A boat's link to an MQTT broker.
pub struct MqttUplink {
    broker: BrokerUrl,
    boat: BoatId,
    client_id: String,
    connection: Option<Connection>,
}

struct Connection {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, LinkError>>,
    /// Queued and not written yet, in order.
    unwritten: VecDeque<Published>,
    /// Written and not yet acknowledged, by packet id.
    unacknowledged: HashMap<u16, Published>,
    event_loop: JoinHandle<()>,
}

/// What a message at QoS 1 carries.
#[derive(Clone, Copy, Debug)]
enum Published {
    Message(Key),
    Status,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.event_loop.abort();
    }
}

impl MqttUplink {
    /// A link that is not connected yet. `instance` makes its client id unique: two boats of one name
    /// would otherwise take over each other's session again and again.
    pub fn new(broker: BrokerUrl, boat: BoatId, instance: Uuid) -> Self {
        let instance = instance.simple().to_string();
        Self {
            broker,
            client_id: format!("flukewatch-edge-{boat}-{}", &instance[..8]),
            boat,
            connection: None,
        }
    }

    fn options(&self, last_will: Option<Vec<u8>>) -> MqttOptions {
        let mut options = MqttOptions::new(
            self.client_id.clone(),
            self.broker.host.clone(),
            self.broker.port,
        );
        options.set_clean_session(true);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        options.set_inflight(2 * MAX_WINDOW as u16);
        if let Some(will) = last_will {
            let topic = topic::of_status(&self.boat);
            options.set_last_will(LastWill::new(topic, will, QoS::AtLeastOnce, true));
        }
        if let Some(login) = &self.broker.credentials {
            options.set_credentials(&login.user, &login.password);
        }
        #[cfg(feature = "tls")]
        if self.broker.tls {
            options.set_transport(rumqttc::Transport::tls_with_config(
                rumqttc::TlsConfiguration::Native,
            ));
        }
        options
    }
}

impl Uplink for MqttUplink {
    async fn connect(&mut self, last_will: Option<Vec<u8>>) -> Result<(), LinkError> {
        self.connection = None;
        let (client, mut event_loop) = AsyncClient::new(self.options(last_will), 2 * MAX_WINDOW);
        event_loop
            .network_options
            .set_connection_timeout(WRITE_TIMEOUT);
        let (sender, events) = mpsc::channel(16);
        let mut connection = Connection {
            client,
            events,
            unwritten: VecDeque::new(),
            unacknowledged: HashMap::new(),
            event_loop: tokio::spawn(run(event_loop, sender)),
        };
        let topics = [topic::of_acks(&self.boat), topic::of_presence(&self.boat)];
        tokio::time::timeout(CONNECT_TIMEOUT, connection.subscribe(topics))
            .await
            .map_err(|_| {
                LinkError::new(format!("timed out after {} s", CONNECT_TIMEOUT.as_secs()))
            })??;
        self.connection = Some(connection);
        Ok(())
    }

    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        // The event loop would close the connection.
        if message.len() > MAX_MESSAGE {
            return Err(LinkError::new(format!(
                "message of {} bytes exceeds the limit",
                message.len()
            )));
        }
        let room = connection
            .client
            .try_publish(topic, QoS::AtLeastOnce, false, message)
            .is_ok();
        if room {
            connection.unwritten.push_back(Published::Message(key));
        }
        Ok(room)
    }

    fn announce(&mut self, message: Vec<u8>) -> Result<(), LinkError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        let topic = topic::of_presence(&self.boat);
        // Where the queue is full, the next one will do.
        let _ = connection
            .client
            .try_publish(topic, QoS::AtMostOnce, false, message);
        Ok(())
    }

    fn report_status(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        let topic = topic::of_status(&self.boat);
        let room = connection
            .client
            .try_publish(topic, QoS::AtLeastOnce, true, message)
            .is_ok();
        if room {
            connection.unwritten.push_back(Published::Status);
        }
        Ok(room)
    }

    async fn event(&mut self) -> Result<UplinkEvent, LinkError> {
        let acks = topic::of_acks(&self.boat);
        let presence = topic::of_presence(&self.boat);
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        loop {
            match connection.next().await? {
                // Id 0 is a message at QoS 0.
                Event::Outgoing(Outgoing::Publish(id)) if id > 0 => {
                    if let Some(published) = connection.unwritten.pop_front() {
                        connection.unacknowledged.insert(id, published);
                    }
                }
                Event::Incoming(Packet::PubAck(ack)) => {
                    match connection.unacknowledged.remove(&ack.pkid) {
                        Some(Published::Message(key)) => {
                            return Ok(UplinkEvent::BrokerAccepted(key));
                        }
                        Some(Published::Status) => return Ok(UplinkEvent::StatusAccepted),
                        None => {}
                    }
                }
                Event::Incoming(Packet::Publish(message)) if message.topic == acks => {
                    return Ok(UplinkEvent::Ack(message.payload.to_vec()));
                }
                Event::Incoming(Packet::Publish(message)) if message.topic == presence => {
                    return Ok(UplinkEvent::Presence(message.payload.to_vec()));
                }
                _ => {}
            }
        }
    }
}

impl Connection {
    /// Waits for the connection, then for the subscriptions to acks and presence, so that no
    /// acknowledgement is missed.
    async fn subscribe(&mut self, [acks, presence]: [String; 2]) -> Result<(), LinkError> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        let filters = [
            SubscribeFilter::new(acks, QoS::AtLeastOnce),
            SubscribeFilter::new(presence, QoS::AtMostOnce),
        ];
        self.client
            .try_subscribe_many(filters)
            .map_err(|e| LinkError::new(e.to_string()))?;
        loop {
            if let Event::Incoming(Packet::SubAck(ack)) = self.next().await? {
                let granted = |code: Option<&SubscribeReasonCode>| {
                    matches!(code, Some(SubscribeReasonCode::Success(_)))
                };
                if !granted(ack.return_codes.first()) {
                    return Err(LinkError::new(
                        "subscription to the acknowledgement topic rejected",
                    ));
                }
                // Delivery works without it.
                if !granted(ack.return_codes.get(1)) {
                    tracing::debug!("subscription to the presence topic rejected");
                }
                return Ok(());
            }
        }
    }

    async fn next(&mut self) -> Result<Event, LinkError> {
        self.events
            .recv()
            .await
            .unwrap_or_else(|| Err(not_connected()))
    }
}

fn not_connected() -> LinkError {
    LinkError::new("not connected")
}

async fn run(mut event_loop: EventLoop, events: mpsc::Sender<Result<Event, LinkError>>) {
    loop {
        let event = event_loop.poll().await.map_err(|e| link_error(&e));
        let over = event.is_err();
        if events.send(event).await.is_err() || over {
            return;
        }
    }
}

fn link_error(error: &ConnectionError) -> LinkError {
    let message = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "the broker rejected user and password; check uplink.user and the password".into(),
        other => other.to_string(),
    };
    LinkError {
        message,
        closed_by_broker: match error {
            ConnectionError::MqttState(StateError::ConnectionAborted) => true,
            // An error of a read or write on an open connection comes as one of the codec.
            ConnectionError::MqttState(StateError::Deserialization(CodecError::Io(e)))
            | ConnectionError::MqttState(StateError::Io(e))
            | ConnectionError::Io(e) => is_closed(e),
            _ => false,
        },
    }
}

/// Whether the other end closed the connection.
fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_closed_by_the_broker_is_no_failed_link() {
        let codec = |kind: ErrorKind| {
            ConnectionError::MqttState(StateError::Deserialization(CodecError::Io(kind.into())))
        };
        for (error, closed) in [
            (
                ConnectionError::MqttState(StateError::ConnectionAborted),
                true,
            ),
            (codec(ErrorKind::ConnectionReset), true),
            (codec(ErrorKind::BrokenPipe), true),
            (ConnectionError::Io(ErrorKind::ConnectionReset.into()), true),
            (codec(ErrorKind::TimedOut), false),
            (codec(ErrorKind::HostUnreachable), false),
            (
                ConnectionError::Io(ErrorKind::NetworkUnreachable.into()),
                false,
            ),
            (ConnectionError::NetworkTimeout, false),
        ] {
            assert_eq!(link_error(&error).closed_by_broker, closed, "{error}");
        }
    }
}
