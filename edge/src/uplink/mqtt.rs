//! MQTT 3.1.1 at QoS 1, through `rumqttc`.
//!
//! Every connection is a clean session with a new event loop, since `rumqttc` silently drops its
//! queue when a session ends. The loop runs in a separate task: it must not be stopped in the
//! middle of a packet.

use super::broker_url::BrokerUrl;
use super::link::{LinkError, MAX_WINDOW, Uplink, UplinkEvent};
use crate::outbox::Key;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::topic;
use flukewatch_common::wire::MAX_MESSAGE;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, SubscribeReasonCode,
};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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
    connection: Option<Connection>,
}

struct Connection {
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, LinkError>>,
    /// Queued and not written yet, in order.
    unwritten: VecDeque<Key>,
    /// Written and not yet acknowledged, by packet id.
    unacknowledged: HashMap<u16, Key>,
    event_loop: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.event_loop.abort();
    }
}

impl MqttUplink {
    /// A link that is not connected yet.
    pub fn new(broker: BrokerUrl, boat: BoatId) -> Self {
        Self {
            broker,
            boat,
            connection: None,
        }
    }

    fn options(&self) -> MqttOptions {
        let id = format!("flukewatch-edge-{}", self.boat);
        let mut options = MqttOptions::new(id, self.broker.host.clone(), self.broker.port);
        options.set_clean_session(true);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        options.set_inflight(2 * MAX_WINDOW as u16);
        if let Some((user, password)) = &self.broker.credentials {
            options.set_credentials(user, password);
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
    async fn connect(&mut self) -> Result<(), LinkError> {
        self.connection = None;
        let (client, mut event_loop) = AsyncClient::new(self.options(), 2 * MAX_WINDOW);
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
        let acks = topic::of_acks(&self.boat);
        tokio::time::timeout(CONNECT_TIMEOUT, connection.subscribe(acks))
            .await
            .map_err(|_| LinkError(format!("timed out after {} s", CONNECT_TIMEOUT.as_secs())))??;
        self.connection = Some(connection);
        Ok(())
    }

    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        // The event loop would close the connection.
        if message.len() > MAX_MESSAGE {
            return Err(LinkError(format!(
                "message of {} bytes exceeds the limit",
                message.len()
            )));
        }
        let room = connection
            .client
            .try_publish(topic, QoS::AtLeastOnce, false, message)
            .is_ok();
        if room {
            connection.unwritten.push_back(key);
        }
        Ok(room)
    }

    async fn event(&mut self) -> Result<UplinkEvent, LinkError> {
        let acks = topic::of_acks(&self.boat);
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        loop {
            match connection.next().await? {
                Event::Outgoing(Outgoing::Publish(id)) => {
                    if let Some(key) = connection.unwritten.pop_front() {
                        connection.unacknowledged.insert(id, key);
                    }
                }
                Event::Incoming(Packet::PubAck(ack)) => {
                    if let Some(key) = connection.unacknowledged.remove(&ack.pkid) {
                        return Ok(UplinkEvent::BrokerAccepted(key));
                    }
                }
                Event::Incoming(Packet::Publish(message)) if message.topic == acks => {
                    return Ok(UplinkEvent::Ack(message.payload.to_vec()));
                }
                _ => {}
            }
        }
    }
}

impl Connection {
    /// Waits for the connection, then for the subscription, so that no acknowledgement is missed.
    async fn subscribe(&mut self, acks: String) -> Result<(), LinkError> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        self.client
            .try_subscribe(acks, QoS::AtLeastOnce)
            .map_err(|e| LinkError(e.to_string()))?;
        loop {
            if let Event::Incoming(Packet::SubAck(ack)) = self.next().await? {
                let granted = ack
                    .return_codes
                    .iter()
                    .all(|c| matches!(c, SubscribeReasonCode::Success(_)));
                return if granted {
                    Ok(())
                } else {
                    Err(LinkError(
                        "subscription to the acknowledgement topic rejected".into(),
                    ))
                };
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
    LinkError("not connected".into())
}

async fn run(mut event_loop: EventLoop, events: mpsc::Sender<Result<Event, LinkError>>) {
    loop {
        let event = event_loop
            .poll()
            .await
            .map_err(|e| LinkError(e.to_string()));
        let over = event.is_err();
        if events.send(event).await.is_err() || over {
            return;
        }
    }
}
