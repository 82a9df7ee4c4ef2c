//! Publishing.

use crate::client::Client;
use crate::error::MqttError;
use crate::event::AckHandle;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The topic.
    pub topic: String,
    /// The content.
    pub payload: Bytes,
    /// Whether it is repeated until the broker has it (QoS 1).
    pub at_least_once: bool,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// After this time the broker does not deliver it any more; only in MQTT 5.
    pub expiry: Option<Duration>,
}

impl Outgoing {
    /// A message at QoS 1.
    pub fn at_least_once(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            at_least_once: true,
            retain: false,
            expiry: None,
        }
    }

    /// A message at QoS 0, which may get lost.
    pub fn at_most_once(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            at_least_once: false,
            ..Self::at_least_once(topic, payload)
        }
    }

    /// The same message, kept by the broker for later subscribers.
    #[must_use]
    pub fn retained(self) -> Self {
        Self {
            retain: true,
            ..self
        }
    }

    /// The same message, not delivered later than after `expiry`.
    #[must_use]
    pub fn expiring_after(self, expiry: Duration) -> Self {
        Self {
            expiry: Some(expiry),
            ..self
        }
    }
}

/// Publishes on a connection.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: Client,
    shared: Arc<Shared>,
}

/// Shared between publishers and the event loop.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Tokens of messages at QoS 1 that are queued and not written yet, in order.
    unwritten: Mutex<VecDeque<Option<u64>>>,
    /// Notified when the queue may have room.
    room: Notify,
}

impl Shared {
    /// The token of the message that was written next.
    pub(crate) fn written(&self) -> Option<u64> {
        let mut unwritten = self
            .unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unwritten.pop_front().flatten()
    }

    pub(crate) fn notify_room(&self) {
        self.room.notify_waiters();
    }
}

impl Publisher {
    pub(crate) fn new(client: Client, shared: Arc<Shared>) -> Self {
        Self { client, shared }
    }

    /// Queues a message. `false`: the queue is full; try again after the next event.
    /// [`Event::Accepted`](crate::Event::Accepted) reports `token` when the broker has a message of QoS 1.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn try_publish(&self, message: &Outgoing, token: Option<u64>) -> Result<bool, MqttError> {
        // The order of tokens must be that of the queue.
        let mut unwritten = self
            .shared
            .unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let queued = self.client.try_publish(message)?;
        if queued && message.at_least_once {
            unwritten.push_back(token);
        }
        Ok(queued)
    }

    /// Queues a message as soon as the queue has room.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn publish(&self, message: Outgoing, token: Option<u64>) -> Result<(), MqttError> {
        loop {
            let room = self.shared.room.notified();
            if self.try_publish(&message, token)? {
                return Ok(());
            }
            room.await;
        }
    }

    /// Acknowledges a received message to the broker.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn acknowledge(&self, ack: AckHandle) -> Result<(), MqttError> {
        self.client.acknowledge(ack.0).await
    }
}
