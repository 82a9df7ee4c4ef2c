//! MQTT 3.1.1 through `rumqttc`.

use crate::error::{MqttError, MqttErrorKind, NotConnected};
use crate::event::{AckHandle, PacketAck, Received, Step};
use crate::message::Outgoing;
use crate::settings::{MAX_WRITE_BATCH, Session, Settings, Subscription, Version, Will};
use rumqttc_v4::mqttbytes::Error as CodecError;
use rumqttc_v4::{
    AckMode, AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, EventLoop,
    LastWill, ManualAck, MqttOptions, NetworkOptions, Outgoing as Written, Packet, PubAck, Publish,
    PublishOptions, QoS, StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
    Transport, default_socket_connect,
};

pub(crate) fn client(
    settings: &Settings,
    will: Option<Will>,
) -> Result<(AsyncClient, EventLoop), MqttError> {
    let broker = &settings.broker;
    let mut options = MqttOptions::new(
        settings.client_id.clone(),
        (broker.host_name().to_owned(), broker.port),
    );
    let keep_alive = u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX);
    options
        .set_keep_alive(keep_alive)
        .set_clean_session(settings.session == Session::Clean)
        .set_max_packet_size(settings.max_packet_bytes, settings.max_packet_bytes)
        .set_inflight(settings.max_in_flight)
        .set_max_request_batch(MAX_WRITE_BATCH)
        .set_ack_mode(if settings.manual_acks {
            AckMode::Manual
        } else {
            AckMode::Automatic
        });
    if let Some(will) = will {
        options.set_last_will(LastWill::new(
            will.topic,
            will.payload,
            QoS::AtLeastOnce,
            true,
        ));
    }
    if let Some(login) = &broker.credentials {
        options.set_credentials(login.user.clone(), login.password.clone());
    }
    if broker.tls {
        let config = settings.tls.client_config()?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    if broker.host != broker.host_name() {
        // The library gives one name to the resolver, where an IPv6 address has brackets, and to the
        // certificate's check, where it has none.
        let address = format!("{}:{}", broker.host, broker.port);
        options.set_socket_connector(move |_, network| {
            default_socket_connect(address.clone(), network)
        });
    }
    let builder = AsyncClient::builder(options).capacity(settings.max_queued);
    let (client, mut events) = builder
        .try_build()
        .map_err(|e| MqttError::link(e.to_string()))?;
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(settings.write_timeout.as_secs());
    events.set_network_options(network);
    Ok((client, events))
}

/// Waits until the broker has accepted the connection.
pub(crate) async fn connected(events: &mut EventLoop) -> Result<(), NotConnected> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
            Ok(_) => {}
            Err(ConnectionError::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion)) => {
                return Err(NotConnected::UnknownVersion);
            }
            Err(error) => return Err(NotConnected::Error(translate(&error))),
        }
    }
}

pub(crate) fn try_publish(client: &AsyncClient, message: &Outgoing) -> Result<bool, MqttError> {
    let options = PublishOptions::new(qos(message.at_least_once)).retain(message.retain);
    match client.try_publish(message.topic.clone(), message.payload.clone(), options) {
        Ok(()) => Ok(true),
        Err(ClientError::RequestChannelFull(_)) => Ok(false),
        Err(error) => Err(MqttError::link(error.to_string())),
    }
}

pub(crate) fn subscribe(
    client: &AsyncClient,
    subscriptions: &[Subscription],
) -> Result<(), MqttError> {
    let filters = subscriptions
        .iter()
        .map(|s| SubscribeFilter::new(s.path(Version::V311), qos(s.at_least_once)));
    client
        .try_subscribe_many(filters)
        .map_err(|e| MqttError::link(e.to_string()))
}

fn qos(at_least_once: bool) -> QoS {
    if at_least_once {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    }
}

pub(crate) async fn step(events: &mut EventLoop) -> Result<Step, MqttError> {
    let event = events.poll().await.map_err(|error| translate(&error))?;
    Ok(match event {
        // Id 0 is a message of QoS 0.
        Event::Outgoing(Written::Publish(id)) if id > 0 => Step::Written(id),
        Event::Incoming(Packet::ConnAck(_)) => Step::Connected,
        Event::Incoming(Packet::SubAck(ack)) => {
            let granted =
                |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
            Step::Subscribed(ack.return_codes.iter().map(granted).collect())
        }
        Event::Incoming(Packet::PubAck(ack)) => Step::Acknowledged(ack.pkid, None),
        Event::Incoming(Packet::Publish(publish)) => {
            match String::from_utf8(publish.topic.to_vec()) {
                Ok(topic) => Step::Received(Received {
                    topic,
                    retained: publish.retain,
                    ack: prepare_ack(&publish),
                    payload: publish.payload,
                }),
                Err(_) => Step::Other,
            }
        }
        _ => Step::Other,
    })
}

fn prepare_ack(publish: &Publish) -> Option<AckHandle> {
    let ack = || ManualAck::PubAck(PubAck::new(publish.pkid));
    (publish.qos == QoS::AtLeastOnce).then(|| AckHandle(PacketAck::V311(ack())))
}

fn translate(error: &ConnectionError) -> MqttError {
    use MqttErrorKind::{ClosedByBroker, NotAuthorized, OversizedPacket};
    let state = match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => {
            return MqttError::new(
                NotAuthorized,
                "the broker rejected user, password or certificate",
            );
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            return MqttError::link("timed out");
        }
        ConnectionError::Io(e) => return MqttError::io(e),
        ConnectionError::Tls(rumqttc_v4::TlsError::Io(e)) => return MqttError::io(e),
        ConnectionError::MqttState(state) => state,
        other => return MqttError::link(other.to_string()),
    };
    match state {
        // An error of a read or write on an open connection comes as one of the codec.
        StateError::Io(e) | StateError::Deserialization(CodecError::Io(e)) => MqttError::io(e),
        StateError::ConnectionAborted => {
            MqttError::new(ClosedByBroker, "connection closed by the broker")
        }
        StateError::Deserialization(CodecError::PayloadSizeLimitExceeded(bytes)) => MqttError::new(
            OversizedPacket(*bytes),
            format!("received a packet of {bytes} bytes, more than allowed"),
        ),
        other => MqttError::link(other.to_string()),
    }
}
