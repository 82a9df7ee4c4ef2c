//! Publishing.

use crate::client::Client;
use crate::error::MqttError;
use crate::event::AckHandle;
use crate::message::Outgoing;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

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
