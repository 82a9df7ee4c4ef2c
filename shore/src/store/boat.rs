//! What shore knows about a boat.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;

/// A range of a boat's sequence numbers, e.g. of sightings that it made and shore has not received.
/// Both ends are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// How many gaps of a boat are listed; [`BoatStatus::missing`] counts all.
pub const MAX_GAPS: usize = 100;

/// A boat, as shore knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoatStatus {
    /// The boat's unique name.
    pub boat: BoatId,
    /// When its first message was stored.
    pub first_seen: Timestamp,
    /// When its last message was received.
    pub last_seen: Timestamp,
    /// Number of stored sightings.
    pub sightings: u64,
    /// The highest sequence number; 0 before the first sighting.
    pub last_sequence: u64,
    /// Sequence numbers below the highest of their outbox that have not been received.
    pub missing: u64,
    /// The same as ranges, lowest first, at most [`MAX_GAPS`].
    pub gaps: Vec<Gap>,
    /// Outboxes that the boat has numbered its sightings in. A new one begins where the old one was
    /// lost or damaged.
    pub outboxes: u64,
    /// Sightings whose sequence number another sighting has too.
    pub duplicate_sequences: u64,
    /// Those among them whose number was used twice in one outbox: two computers send under the
    /// boat's name, or an outbox was copied.
    pub duplicates_in_outbox: u64,
    /// The numbers that several sightings have, as ranges, lowest first, at most [`MAX_GAPS`].
    pub repeated: Vec<Gap>,
    /// Sightings whose picture has not been received, or not as announced.
    pub pictures_missing: u64,
    /// Pictures whose sighting has not been received.
    pub pictures_without_sighting: u64,
}
