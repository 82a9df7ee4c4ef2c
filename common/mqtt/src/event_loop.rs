//! The receiving half of a client of either version.

use crate::error::{MqttError, NotConnected};
use crate::event::{Event, Step};
use crate::publisher::Shared;
use crate::{v5, v311};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The event loop of either version.
pub(crate) struct EventLoop {
    pub(crate) library: LibraryLoop,
    /// Whether the connection's user acknowledges messages.
    pub(crate) manual_acks: bool,
}

pub(crate) enum LibraryLoop {
    V5(Box<rumqttc::EventLoop>),
    V311(Box<rumqttc_v4::EventLoop>),
}

impl EventLoop {
    /// Waits until the broker has accepted the connection.
    pub(crate) async fn connected(&mut self) -> Result<(), NotConnected> {
        match &mut self.library {
            LibraryLoop::V5(events) => v5::connected(events).await,
            LibraryLoop::V311(events) => v311::connected(events).await,
        }
    }

    pub(crate) async fn step(&mut self) -> Result<Step, MqttError> {
        let mut step = match &mut self.library {
            LibraryLoop::V5(events) => v5::step(events).await,
            LibraryLoop::V311(events) => v311::step(events).await,
        }?;
        if let Step::Received(message) = &mut step
            && !self.manual_acks
        {
            message.ack = None;
        }
        Ok(step)
    }

    /// Passes on what happens until the connection ends or its user drops the receiver. It runs in a
    /// task: it must not be stopped in the middle of a packet.
    pub(crate) async fn run(
        mut self,
        shared: Arc<Shared>,
        events: mpsc::Sender<Result<Event, MqttError>>,
    ) {
        let mut unacknowledged: HashMap<u16, u64> = HashMap::new();
        loop {
            let step = self.step().await;
            shared.notify_room();
            let event = match step {
                Ok(Step::Written(id)) => {
                    if let Some(token) = shared.written() {
                        unacknowledged.insert(id, token);
                    }
                    continue;
                }
                Ok(Step::Acknowledged(id, rejected)) => match unacknowledged.remove(&id) {
                    Some(token) => Ok(match rejected {
                        None => Event::Accepted(token),
                        Some(reason) => Event::Rejected { token, reason },
                    }),
                    None => continue,
                },
                Ok(Step::Received(message)) => Ok(Event::Received(message)),
                Ok(Step::Connected | Step::Subscribed(_) | Step::Other) => continue,
                Err(error) => Err(error),
            };
            let over = event.is_err();
            if events.send(event).await.is_err() || over {
                shared.notify_room();
                return;
            }
        }
    }
}
