//! One connection, from its start to its end.

use crate::error::MqttError;
use crate::event::Event;
use crate::publisher::Publisher;
use crate::settings::Version;
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A connection to a broker, subscribed as its settings say. Dropped, it is closed, with what is queued.
#[derive(Debug)]
pub struct Connection {
    pub(crate) publisher: Publisher,
    pub(crate) version: Version,
    pub(crate) granted: Vec<bool>,
    /// Arrived before the subscriptions were confirmed.
    pub(crate) early: VecDeque<Event>,
    pub(crate) events: mpsc::Receiver<Result<Event, MqttError>>,
    pub(crate) event_loop: JoinHandle<()>,
}

impl Connection {
    /// Publishes on this connection.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// The version of MQTT that the broker speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Which subscriptions the broker granted, in the order of the settings.
    pub fn granted(&self) -> &[bool] {
        &self.granted
    }

    /// Waits for the next event. Cancel-safe: nothing is lost when the caller stops waiting.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn event(&mut self) -> Result<Event, MqttError> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        let event = self.events.recv().await;
        event.unwrap_or_else(|| Err(MqttError::not_connected()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.event_loop.abort();
    }
}
