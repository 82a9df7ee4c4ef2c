//! The sending half of a client of either version.

use crate::error::MqttError;
use crate::event::PacketAck;
use crate::message::Outgoing;
use crate::settings::{Subscription, Version};
use crate::{v5, v311};

/// Sends to the event loop of either version.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    V5(rumqttc::AsyncClient),
    V311(rumqttc_v4::AsyncClient),
}

impl Client {
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::V5(_) => Version::V5,
            Self::V311(_) => Version::V311,
        }
    }

    /// Queues a message; `false` where the queue is full.
    pub(crate) fn try_publish(&self, message: &Outgoing) -> Result<bool, MqttError> {
        match self {
            Self::V5(client) => v5::try_publish(client, message),
            Self::V311(client) => v311::try_publish(client, message),
        }
    }

    /// Queues subscriptions; the queue must be empty.
    pub(crate) fn subscribe(&self, subscriptions: &[Subscription]) -> Result<(), MqttError> {
        match self {
            Self::V5(client) => v5::subscribe(client, subscriptions),
            Self::V311(client) => v311::subscribe(client, subscriptions),
        }
    }

    pub(crate) async fn acknowledge(&self, ack: PacketAck) -> Result<(), MqttError> {
        let sent = match (self, ack) {
            (Self::V5(client), PacketAck::V5(ack)) => client.manual_ack(ack).await.is_ok(),
            (Self::V311(client), PacketAck::V311(ack)) => client.manual_ack(ack).await.is_ok(),
            // An acknowledgement for a message of another connection.
            _ => false,
        };
        sent.then_some(()).ok_or_else(MqttError::not_connected)
    }
}
