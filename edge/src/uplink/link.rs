//! The uploader's interface to a broker.

use crate::bundle_mailbox::FromShore;
use crate::outbox::Key;
use std::time::Duration;

/// The maximum number of messages in flight.
pub const MAX_WINDOW: usize = 50;

/// An event from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkEvent {
    /// The broker has accepted this message; shore may not have it yet.
    BrokerAccepted(Key),
    /// The broker has accepted a status report.
    StatusAccepted,
    /// A message on this boat's acknowledgement topic, not validated yet.
    Ack(Vec<u8>),
    /// A message on this boat's presence topic, its own or another's, not validated yet.
    Presence(Vec<u8>),
    /// What the station says about a bundle for this boat, not validated yet.
    Bundle(FromShore),
    /// Which files the station wants, not validated yet; empty where it wants none any more.
    Command(Vec<u8>),
    /// Settings for this boat, not validated yet.
    Settings(Vec<u8>),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LinkError {
    /// The error in words.
    pub message: String,
    /// Whether the broker closed the connection, rather than the link failed.
    pub closed_by_broker: bool,
}

impl LinkError {
    /// An error of the link.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            closed_by_broker: false,
        }
    }
}

/// A connection to a broker that delivers messages to the broker at least once.
pub trait Uplink: Send {
    /// Drops the current connection with everything queued in it, and makes a new one that is
    /// subscribed to acknowledgements. When it ends, the broker publishes `last_will` as a retained
    /// status report.
    fn connect(
        &mut self,
        last_will: Option<Vec<u8>>,
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Sets for later connections how often they are probed while they are idle, and the timeout for making
    /// them.
    fn set_timing(&mut self, _keep_alive: Duration, _connect_timeout: Duration) {}

    /// Queues a message. `false`: the queue is full; try again after the next event.
    ///
    /// # Errors
    /// When there is no connection.
    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Queues a message about this boat's presence, which may get lost.
    ///
    /// # Errors
    /// When there is no connection.
    fn announce(&mut self, message: Vec<u8>) -> Result<(), LinkError>;

    /// Queues a retained report of this boat's status. `false`: the queue is full; try again later.
    ///
    /// # Errors
    /// When not connected.
    fn report_status(&mut self, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Queues a request or report about a bundle, which may get lost. `false`: the queue is full; try again
    /// later.
    ///
    /// # Errors
    /// When not connected.
    fn request(&mut self, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Queues a chunk of a file that shore has requested, which may get lost. `false`: the queue is full; try
    /// again later.
    ///
    /// # Errors
    /// When not connected.
    fn send_chunk(&mut self, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Waits for the next event. Cancel-safe: nothing is lost when the caller stops waiting.
    fn event(&mut self) -> impl Future<Output = Result<UplinkEvent, LinkError>> + Send;
}
