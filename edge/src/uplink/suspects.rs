//! Finds messages that a broker or shore does not take, so that they do not hold up the others.
//!
//! A message in flight when a connection ends is suspected, and sent again with no other message
//! unaccepted. If the connection then ends again, that message is the reason; it goes behind all
//! others. After the broker has closed [`MAX_CLOSED`] connections on it, it can never be sent. A message that shore does not acknowledge
//! while it acknowledges later ones goes behind the others, too.

use crate::outbox::Key;
use std::collections::{HashMap, HashSet};

/// How often the broker closes the connection on a message before it becomes a dead letter. Once is
/// enough for one that is as large as an earlier one that did.
const MAX_CLOSED: u32 = 3;
/// How often shore acknowledges later messages and not this one before it becomes a dead letter, where
/// it is larger than all that shore acknowledged.
const MAX_UNANSWERED: u32 = 5;

#[derive(Clone, Copy, Debug, Default)]
struct Suspect {
    bytes: u64,
    /// Connections that the broker closed on it alone.
    closed: u32,
    /// Connections that failed on it alone for another reason, e.g. a slow link.
    failures: u32,
    unanswered: u32,
}

impl Suspect {
    fn is_unexamined(&self) -> bool {
        !self.is_held() && self.unanswered == 0
    }

    /// Whether it goes behind all others.
    fn is_held(&self) -> bool {
        self.closed + self.failures > 0
    }
}

/// The suspected messages of an outbox.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    by_key: HashMap<Key, Suspect>,
    /// The size of the smallest message that became a dead letter because of its size.
    closed_bytes: Option<u64>,
    /// The size of the smallest message that the broker accepted.
    accepted_bytes: Option<u64>,
    /// The size of the largest message that shore acknowledged.
    acknowledged_bytes: u64,
}

impl Suspects {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        self.by_key.keys().copied()
    }

    /// Whether there are messages to examine singly.
    pub(super) fn any_unexamined(&self) -> bool {
        self.by_key.values().any(Suspect::is_unexamined)
    }

    /// The message to examine next: the smallest, which is the least likely reason.
    pub(super) fn next_unexamined(&self) -> Option<(Key, u64)> {
        let unexamined = self.by_key.iter().filter(|(_, s)| s.is_unexamined());
        let first = unexamined.min_by_key(|(key, s)| (s.bytes, key.sighting, key.part));
        first.map(|(key, s)| (*key, s.bytes))
    }

    /// The message to try next that a connection ended on.
    pub(super) fn next_held(&self) -> Option<(Key, u64)> {
        let held = self.by_key.iter().filter(|(_, s)| s.is_held());
        let attempts = |s: &Suspect| s.closed + s.failures;
        let first = held.min_by_key(|(key, s)| (attempts(s), s.bytes, key.sighting, key.part));
        first.map(|(key, s)| (*key, s.bytes))
    }

    /// The message to try next that shore did not acknowledge.
    pub(super) fn next_unanswered(&self) -> Option<(Key, u64)> {
        let unanswered = self
            .by_key
            .iter()
            .filter(|(_, s)| s.unanswered > 0 && !s.is_held());
        let first =
            unanswered.min_by_key(|(key, s)| (s.unanswered, s.bytes, key.sighting, key.part));
        first.map(|(key, s)| (*key, s.bytes))
    }

    pub(super) fn is_unanswered(&self, key: &Key) -> bool {
        self.by_key.get(key).is_some_and(|s| s.unanswered > 0)
    }

    /// A connection ended with these messages in flight.
    pub(super) fn suspect(&mut self, messages: impl IntoIterator<Item = (Key, u64)>) {
        for (key, bytes) in messages {
            self.by_key.entry(key).or_default().bytes = bytes;
        }
    }

    /// The broker closed the connection on this message alone. Returns why it can never be sent, if
    /// so.
    pub(super) fn closed_on(&mut self, key: Key, bytes: u64) -> Option<String> {
        let suspect = self.by_key.entry(key).or_default();
        suspect.bytes = bytes;
        suspect.closed += 1;
        let known = self.closed_bytes.is_some_and(|limit| bytes >= limit);
        // A broker that accepts nothing at all must not turn every message into a dead letter.
        let takes_smaller = self.accepted_bytes.is_some_and(|smallest| smallest < bytes);
        if !takes_smaller || (suspect.closed < MAX_CLOSED && !known) {
            return None;
        }
        self.closed_bytes = Some(self.closed_bytes.map_or(bytes, |limit| limit.min(bytes)));
        self.by_key.remove(&key);
        Some(format!(
            "the broker closes the connection on its {bytes} bytes; raise its size limit (mosquitto: max_packet_size) to 300000, then run `flukewatch-edge outbox --resend`"
        ))
    }

    /// The connection failed on this message alone; the broker may take it all the same.
    pub(super) fn failed(&mut self, key: Key, bytes: u64) {
        let suspect = self.by_key.entry(key).or_default();
        suspect.bytes = bytes;
        suspect.failures += 1;
    }

    /// The broker accepted a message.
    pub(super) fn accepted(&mut self, key: Key, bytes: u64) {
        let smallest = self.accepted_bytes.map_or(bytes, |known| known.min(bytes));
        self.accepted_bytes = Some(smallest);
        if let Some(suspect) = self.by_key.get_mut(&key) {
            (suspect.closed, suspect.failures) = (0, 0);
            if suspect.unanswered == 0 {
                self.by_key.remove(&key);
            }
        }
    }

    /// Shore acknowledged later messages, and not this one. Returns why it can never be sent, if so.
    pub(super) fn unanswered(&mut self, key: Key, bytes: u64) -> Option<String> {
        let suspect = self.by_key.entry(key).or_default();
        suspect.bytes = bytes;
        suspect.unanswered += 1;
        if suspect.unanswered < MAX_UNANSWERED || bytes <= self.acknowledged_bytes {
            return None;
        }
        self.by_key.remove(&key);
        Some(format!(
            "shore acknowledges smaller messages, and not its {bytes} bytes; raise the broker's size limit (mosquitto: message_size_limit) to 300000, or see the messages that shore rejected, then run `flukewatch-edge outbox --resend`"
        ))
    }

    /// Shore acknowledged a message; one that it did not acknowledge before means that all are worth
    /// another attempt. `bytes` is its size, where it was in flight.
    pub(super) fn acknowledged(&mut self, key: Key, bytes: Option<u64>) {
        self.acknowledged_bytes = self.acknowledged_bytes.max(bytes.unwrap_or(0));
        if self.by_key.remove(&key).is_some_and(|s| s.unanswered > 0) {
            self.by_key.retain(|_, s| s.is_held());
        }
    }

    /// The message is not pending any more.
    pub(super) fn forget(&mut self, key: &Key) {
        self.by_key.remove(key);
    }

    /// The keys of all suspects and of `in_flight`.
    pub(super) fn with(&self, in_flight: impl Iterator<Item = Key>) -> HashSet<Key> {
        self.keys().chain(in_flight).collect()
    }
}
