//! What happens on a connection.

use bytes::Bytes;

/// What happened on a connection.
#[derive(Debug)]
pub enum Event {
    /// The broker has accepted the message that was published with this token.
    Accepted(u64),
    /// The broker has rejected the message that was published with this token; only MQTT 5 brokers say
    /// so.
    Rejected {
        /// The message's token.
        token: u64,
        /// The broker's reason.
        reason: String,
    },
    /// A message for a subscription.
    Received(Received),
}

/// A received message.
#[derive(Debug)]
pub struct Received {
    /// The topic that it was published to.
    pub topic: String,
    /// The content.
    pub payload: Bytes,
    /// Whether the message is older than the subscription.
    pub retained: bool,
    /// To acknowledge it with, where that is left to the connection's user; `None` at QoS 0.
    pub ack: Option<AckHandle>,
}

/// Acknowledges one received message, through [`Publisher::acknowledge`](crate::Publisher::acknowledge).
#[derive(Debug)]
pub struct AckHandle(pub(crate) PacketAck);

#[derive(Debug)]
pub(crate) enum PacketAck {
    V5(rumqttc::ManualAck),
    V311(rumqttc_v4::ManualAck),
}

/// What the event loop of either version reports.
#[derive(Debug)]
pub(crate) enum Step {
    /// The broker has accepted the connection.
    Connected,
    /// The broker's answers to the subscriptions, in their order.
    Subscribed(Vec<bool>),
    /// A message of QoS 1 was written, under this packet id.
    Written(u16),
    /// The broker has a message, or rejects it for a reason.
    Acknowledged(u16, Option<String>),
    Received(Received),
    Other,
}
