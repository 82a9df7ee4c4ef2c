//! Shore's MQTT client.

use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::wire;
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::{AsyncClient, ConnectionError, EventLoop, MqttOptions, StateError};
use std::time::Duration;
use uuid::Uuid;

const KEEP_ALIVE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
const MAX_IN_FLIGHT: u16 = 64;
/// Room for a topic and a packet id around the largest message.
const MAX_PACKET_BYTES: usize = wire::MAX_MESSAGE + 1024;

/// A client of `broker` with room for `queue` requests.
pub(super) fn connect(broker: &BrokerUrl, queue: usize) -> (AsyncClient, EventLoop) {
    // A unique id, so that two stations on one broker do not take over each other's session.
    let client_id = format!("shore-{}", Uuid::now_v7().simple());
    let mut options = MqttOptions::new(client_id, broker.host.clone(), broker.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_manual_acks(true)
        .set_inflight(MAX_IN_FLIGHT)
        .set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
    if let Some(login) = &broker.credentials {
        options.set_credentials(&login.user, &login.password);
    }
    let (client, mut events) = AsyncClient::new(options, queue);
    let mut network = events.network_options();
    network.set_connection_timeout(CONNECT_TIMEOUT_SECONDS);
    events.set_network_options(network);
    (client, events)
}

/// The size of the packet that ended the connection, if an oversized packet is what ended it.
pub(super) fn oversized_packet(error: &ConnectionError) -> Option<usize> {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(
            CodecError::PayloadSizeLimitExceeded(bytes),
        )) => Some(*bytes),
        _ => None,
    }
}
