//! The uploader's interface to a broker.

use crate::outbox::Key;

/// The maximum number of messages in flight.
pub const MAX_WINDOW: usize = 50;

/// An event from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkEvent {
    /// The broker has accepted this message; shore may not have it yet.
    BrokerAccepted(Key),
    /// A message on this boat's acknowledgement topic, not validated yet.
    Ack(Vec<u8>),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// A connection to a broker that delivers messages to the broker at least once.
pub trait Uplink: Send {
    /// Drops the current connection with everything queued in it, and makes a new one that is
    /// subscribed to acknowledgements.
    fn connect(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Queues a message. `false`: the queue is full; try again after the next event.
    ///
    /// # Errors
    /// When there is no connection.
    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Waits for the next event. Cancel-safe: nothing is lost when the caller stops waiting.
    fn event(&mut self) -> impl Future<Output = Result<UplinkEvent, LinkError>> + Send;
}
