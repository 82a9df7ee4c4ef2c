//! Messages that were not stored.

use flukewatch_common::clock::Timestamp;

/// How many rejected messages are kept; [`RejectedCount`] counts all.
pub const MAX_REJECTED_MESSAGES: i64 = 1000;

/// A message that was not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedMessage {
    /// The name of a [`RejectReason`](super::RejectReason).
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The topic that it was published to.
    pub topic: String,
    /// Size of the message in bytes.
    pub bytes: u64,
    /// Its first bytes, in hexadecimal.
    pub head: String,
    /// How often the same message was received.
    pub count: u64,
    /// When it was first received.
    pub first_seen: Timestamp,
    /// When it was last received.
    pub last_seen: Timestamp,
}

/// How many messages were rejected for one reason, including those no longer kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedCount {
    /// The name of a [`RejectReason`](super::RejectReason).
    pub reason: String,
    /// The number of messages.
    pub total: u64,
}
