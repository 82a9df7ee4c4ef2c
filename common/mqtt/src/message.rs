//! A message to publish.

use bytes::Bytes;
use std::time::Duration;

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
