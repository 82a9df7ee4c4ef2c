//! The way to shore: the [`Courier`] carries messages from the outbox over an [`Uplink`] and has them forgotten on shore's receipt.
//!
//! A broker's PUBACK is no delivery. What is under way lives in memory only and counts for nothing: after an error, and after a
//! restart, everything without a receipt is sent again.

mod broker_url;
mod courier;
mod mqtt;

pub use broker_url::{BadBrokerUrl, BrokerUrl};
pub use courier::{Courier, CourierSettings, MAX_BYTES_UNDER_WAY};
pub use mqtt::MqttUplink;

use crate::outbox::Key;

/// The most messages that may be under way without a receipt.
pub const MAX_WINDOW: usize = 50;

/// What an uplink has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkEvent {
    /// The next hop has this message; shore need not.
    Taken(Key),
    /// Something came for this boat's receipts topic; not yet checked.
    Receipt(Vec<u8>),
}

/// Why there is no connection (any more).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// A connection to a broker that carries messages at least once, as far as the broker.
pub trait Uplink: Send {
    /// Drops whatever connection there is, with all that waits in it, and makes a fresh one that hears receipts.
    fn connect(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Hands a message over. `false`: there is no room at the moment, try again after the next event.
    ///
    /// # Errors
    /// When there is no connection.
    fn send(&mut self, key: Key, topic: &str, message: Vec<u8>) -> Result<bool, LinkError>;

    /// Waits for what comes next. Nothing is lost when the caller stops waiting.
    fn event(&mut self) -> impl Future<Output = Result<UplinkEvent, LinkError>> + Send;
}
