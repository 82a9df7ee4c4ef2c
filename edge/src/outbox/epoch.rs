//! Epochs: what sequence numbers count in. An outbox that replaces another begins a new one, so that
//! shore can distinguish its numbers from those of the old one.

use flukewatch_common::clock::Timestamp;
use uuid::Uuid;

/// The epoch to begin where an outbox is created or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEpoch {
    /// Random; unique to this epoch.
    pub id: Uuid,
    /// The current time, which also names the folder of a replaced outbox.
    pub now: Timestamp,
}

impl NewEpoch {
    /// The epoch after this one, at `now`.
    pub(super) fn following(self, now: Timestamp) -> Self {
        Self {
            id: Uuid::from_u128(self.id.as_u128().wrapping_add(1)),
            now,
        }
    }
}
