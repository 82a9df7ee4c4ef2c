//! MQTT 5 through `rumqttc`.

use crate::blank_session::BlankSession;
use crate::error::{MqttError, MqttErrorKind, NotConnected};
use crate::event::{AckHandle, PacketAck, Received, Step};
use crate::message::Outgoing;
use crate::settings::{MAX_WRITE_BATCH, Session, Settings, Subscription, Version, Will};
use rumqttc::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, PubAck, PubAckReason, Publish,
    PublishProperties, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use rumqttc::{
    AckMode, AsyncClient, ClientError, ConnectionError, Event, EventLoop, IncomingPacketSizeLimit,
    ManualAck, MqttOptions, Outgoing as Written, PublishOptions, StateError, SubscribeFilterInput,
    TlsConfiguration, TopicAliasPolicy, Transport, default_socket_connect,
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
    let largest = u32::try_from(settings.max_packet_bytes).unwrap_or(u32::MAX);
    let keep_alive = u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX);
    options
        .set_keep_alive(keep_alive)
        .set_connect_timeout(settings.connect_timeout)
        .set_max_packet_size(Some(largest))
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(largest))
        .set_outgoing_inflight_upper_limit(settings.max_in_flight)
        .set_max_request_batch(MAX_WRITE_BATCH)
        // A topic is written once, then a number of two bytes stands for it.
        .set_topic_alias_policy(TopicAliasPolicy::Lru)
        .set_ack_mode(if settings.manual_acks {
            AckMode::Manual
        } else {
            AckMode::Automatic
        });
    match settings.session {
        Session::Clean => options.set_clean_start(true),
        Session::Persistent(expiry) => {
            let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(seconds))
                .set_session_store(BlankSession {
                    expiry_seconds: seconds,
                    max_in_flight: settings.max_in_flight,
                    manual_acks: settings.manual_acks,
                })
        }
    };
    if let Some(will) = will {
        let qos = QoS::AtLeastOnce;
        options.set_last_will(LastWill::new(will.topic, will.payload, qos, true, None));
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
    builder
        .try_build()
        .map_err(|e| MqttError::link(e.to_string()))
}

/// Waits until the broker has accepted the connection.
pub(crate) async fn connected(events: &mut EventLoop) -> Result<(), NotConnected> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                // It was needed to connect only. With it, the library copies all messages in flight for each packet.
                events.options.clear_session_store();
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if is_unknown_version(&error) => return Err(NotConnected::UnknownVersion),
            Err(error) => return Err(NotConnected::Error(translate(&error))),
        }
    }
}

/// Brokers of 3.1.1 answer with a packet of that version, which is malformed in this one.
fn is_unknown_version(error: &ConnectionError) -> bool {
    use ConnectReturnCode::{RefusedProtocolVersion, UnsupportedProtocolVersion};
    if let ConnectionError::MqttState(StateError::Deserialization(error)) = error {
        return !matches!(error, CodecError::Io(_));
    }
    matches!(
        error,
        ConnectionError::ConnectionRefused(RefusedProtocolVersion | UnsupportedProtocolVersion)
            | ConnectionError::MqttState(StateError::ConnFail {
                reason: RefusedProtocolVersion | UnsupportedProtocolVersion
            })
    )
}

pub(crate) fn try_publish(client: &AsyncClient, message: &Outgoing) -> Result<bool, MqttError> {
    let options = PublishOptions::new(qos(message.at_least_once)).retain(message.retain);
    let options = match message.expiry {
        None => options,
        Some(expiry) => options.properties(PublishProperties {
            message_expiry_interval: Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)),
            ..PublishProperties::default()
        }),
    };
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
        .map(|s| SubscribeFilterInput::new(s.path(Version::V5), qos(s.at_least_once)));
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
        Event::Incoming(Packet::PubAck(ack)) => {
            let rejected = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
                reason => Some(rejection(
                    reason,
                    ack.properties.and_then(|p| p.reason_string),
                )),
            };
            Step::Acknowledged(ack.pkid, rejected)
        }
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
    let ack = || ManualAck::PubAck(PubAck::new(publish.pkid, None));
    (publish.qos == QoS::AtLeastOnce).then(|| AckHandle(PacketAck::V5(ack())))
}

fn rejection(reason: PubAckReason, text: Option<String>) -> String {
    match (reason, text) {
        (PubAckReason::NotAuthorized, _) => "not authorized to publish to this topic".into(),
        (_, Some(text)) => text,
        (reason, None) => format!("{reason:?}"),
    }
}

fn translate(error: &ConnectionError) -> MqttError {
    use MqttErrorKind::{ClosedByBroker, OversizedPacket};
    let state = match error {
        ConnectionError::ConnectionRefused(code) => return refused(*code),
        ConnectionError::Timeout(_) => return MqttError::link("timed out"),
        ConnectionError::Io(e) => return MqttError::io(e),
        ConnectionError::Tls(rumqttc::TlsError::Io(e)) => return MqttError::io(e),
        ConnectionError::MqttState(state) => state,
        other => return MqttError::link(other.to_string()),
    };
    match state {
        // An error of a read or write on an open connection comes as one of the codec.
        StateError::Io(e) | StateError::Deserialization(CodecError::Io(e)) => MqttError::io(e),
        StateError::ConnectionAborted => {
            MqttError::new(ClosedByBroker, "connection closed by the broker")
        }
        StateError::ConnFail { reason } => refused(*reason),
        StateError::ServerDisconnect {
            reason_code,
            reason_string,
        } => disconnected(*reason_code, reason_string.as_deref()),
        // mosquitto rejects a message that is too large with a reason that the library does not know.
        StateError::Deserialization(
            CodecError::InvalidReason(code) | CodecError::InvalidConnectReturnCode(code),
        ) => MqttError::new(
            ClosedByBroker,
            format!("the broker rejected a packet with reason code {code}"),
        ),
        StateError::OutgoingPacketTooLarge { pkt_size, max }
        | StateError::Deserialization(CodecError::OutgoingPacketTooLarge { pkt_size, max }) => {
            MqttError::new(
                ClosedByBroker,
                format!("message of {pkt_size} bytes; the broker accepts at most {max}"),
            )
        }
        StateError::IncomingPacketTooLarge {
            pkt_size: bytes, ..
        }
        | StateError::Deserialization(CodecError::PayloadSizeLimitExceeded {
            pkt_size: bytes,
            ..
        }) => MqttError::new(
            OversizedPacket(*bytes),
            format!("received a packet of {bytes} bytes, more than allowed"),
        ),
        other => MqttError::link(other.to_string()),
    }
}

/// Why the broker said that it ends the connection.
fn disconnected(code: DisconnectReasonCode, text: Option<&str>) -> MqttError {
    use DisconnectReasonCode::{
        ImplementationSpecificError, MalformedPacket, NotAuthorized, PacketTooLarge,
        PayloadFormatInvalid, ProtocolError, QuotaExceeded, ReceiveMaximumExceeded,
        SessionTakenOver, TopicNameInvalid, UnspecifiedError,
    };
    let kind = match code {
        NotAuthorized => MqttErrorKind::NotAuthorized,
        // It may be the fault of what was sent.
        UnspecifiedError
        | MalformedPacket
        | ProtocolError
        | ImplementationSpecificError
        | TopicNameInvalid
        | PacketTooLarge
        | QuotaExceeded
        | PayloadFormatInvalid
        | ReceiveMaximumExceeded => MqttErrorKind::ClosedByBroker,
        _ => MqttErrorKind::Link,
    };
    let reason = match (code, text) {
        (SessionTakenOver, _) => "another client has connected with the same identity".to_owned(),
        (_, Some(text)) => text.to_owned(),
        (code, None) => format!("{code:?}"),
    };
    MqttError::new(kind, format!("the broker disconnected: {reason}"))
}

fn refused(code: ConnectReturnCode) -> MqttError {
    use ConnectReturnCode::{BadUserNamePassword, Banned};
    match code {
        BadUserNamePassword | ConnectReturnCode::NotAuthorized | Banned => MqttError::new(
            MqttErrorKind::NotAuthorized,
            "the broker rejected user, password or certificate",
        ),
        other => MqttError::link(format!("the broker rejected the connection: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_taken_over_is_not_the_fault_of_what_was_sent() {
        let kind = |code| disconnected(code, None).kind;
        assert_eq!(
            kind(DisconnectReasonCode::SessionTakenOver),
            MqttErrorKind::Link
        );
        assert_eq!(
            kind(DisconnectReasonCode::PacketTooLarge),
            MqttErrorKind::ClosedByBroker
        );
        assert_eq!(
            kind(DisconnectReasonCode::NotAuthorized),
            MqttErrorKind::NotAuthorized
        );
    }
}
