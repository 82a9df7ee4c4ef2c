//! Makes connections, and finds out which version the broker speaks.

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{MqttError, MqttErrorKind, NotConnected};
use crate::event::{Event, Step};
use crate::event_loop::{EventLoop, LibraryLoop};
use crate::publisher::{Publisher, Shared};
use crate::settings::{Settings, Version, Will};
use crate::{v5, v311};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Events that may be pending before the event loop pauses.
const MAX_PENDING_EVENTS: usize = 64;

/// Makes connections to one broker.
#[derive(Debug)]
pub struct Dialer {
    settings: Settings,
    /// Whether the broker seems not to speak MQTT 5. Tried again once 3.1.1 fails.
    speaks_v311_only: bool,
}

/// Why the first version did not succeed.
enum Failure {
    /// The broker does not speak it.
    UnknownVersion,
    /// The broker closed the connection instead of answering, as some do with an unknown version.
    ClosedBeforeAnswer(MqttError),
    Other(MqttError),
}

impl Dialer {
    /// A dialer that is not connected yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            speaks_v311_only: false,
        }
    }

    /// Sets for later connections how often they are probed while they are idle, and the timeout for connecting
    /// and subscribing together.
    pub fn set_timing(&mut self, keep_alive: Duration, connect_timeout: Duration) {
        self.settings.keep_alive = keep_alive;
        self.settings.connect_timeout = connect_timeout;
    }

    /// Connects and subscribes: with MQTT 5, or with 3.1.1 where the broker does not speak 5. `will` is
    /// published by the broker when the connection ends without a farewell.
    ///
    /// # Errors
    /// When the broker cannot be reached in time, or rejects the client.
    pub async fn connect(&mut self, will: Option<Will>) -> Result<Connection, MqttError> {
        if !self.speaks_v311_only {
            match self.attempt(Version::V5, will.clone()).await {
                Ok(connection) => return Ok(connection),
                Err(Failure::UnknownVersion | Failure::ClosedBeforeAnswer(_)) => {}
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        let connected = self.attempt(Version::V311, will).await;
        self.speaks_v311_only = connected.is_ok();
        connected.map_err(|failure| match failure {
            Failure::UnknownVersion => {
                MqttError::link("the broker speaks neither MQTT 5 nor 3.1.1")
            }
            Failure::ClosedBeforeAnswer(error) | Failure::Other(error) => error,
        })
    }

    async fn attempt(&self, version: Version, will: Option<Will>) -> Result<Connection, Failure> {
        let limit = self.settings.connect_timeout;
        let attempt = self.dial(version, will);
        timeout(limit, attempt).await.unwrap_or_else(|_| {
            let message = format!("timed out after {} s", limit.as_secs_f32());
            Err(Failure::Other(MqttError::link(message)))
        })
    }

    async fn dial(&self, version: Version, will: Option<Will>) -> Result<Connection, Failure> {
        let settings = &self.settings;
        let (client, library) = match version {
            Version::V5 => {
                let (client, events) = v5::client(settings, will).map_err(Failure::Other)?;
                (Client::V5(client), LibraryLoop::V5(Box::new(events)))
            }
            Version::V311 => {
                let (client, events) = v311::client(settings, will).map_err(Failure::Other)?;
                (Client::V311(client), LibraryLoop::V311(Box::new(events)))
            }
        };
        let mut event_loop = EventLoop {
            library,
            manual_acks: settings.manual_acks,
        };
        event_loop
            .connected()
            .await
            .map_err(|failure| match failure {
                NotConnected::UnknownVersion => Failure::UnknownVersion,
                NotConnected::Error(error) if error.kind == MqttErrorKind::ClosedByBroker => {
                    Failure::ClosedBeforeAnswer(error)
                }
                NotConnected::Error(error) => Failure::Other(error),
            })?;
        let mut early = VecDeque::new();
        let granted = if settings.subscriptions.is_empty() {
            vec![]
        } else {
            client
                .subscribe(&settings.subscriptions)
                .map_err(Failure::Other)?;
            subscribed(&mut event_loop, &mut early)
                .await
                .map_err(Failure::Other)?
        };
        let shared = Arc::new(Shared::default());
        let publisher = Publisher::new(client.clone(), Arc::clone(&shared));
        let (sender, events) = mpsc::channel(MAX_PENDING_EVENTS);
        Ok(Connection {
            version: client.version(),
            publisher,
            granted,
            early,
            events,
            event_loop: tokio::spawn(event_loop.run(shared, sender)),
        })
    }
}

/// The broker's answers to the subscriptions. Messages that a session has kept arrive before them.
async fn subscribed(
    event_loop: &mut EventLoop,
    early: &mut VecDeque<Event>,
) -> Result<Vec<bool>, MqttError> {
    loop {
        match event_loop.step().await? {
            Step::Subscribed(granted) => return Ok(granted),
            Step::Received(message) => early.push_back(Event::Received(message)),
            _ => {}
        }
    }
}
