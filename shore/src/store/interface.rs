//! The interface of the store.

use super::boat::BoatStatus;
use super::error::StoreError;
use super::message::{IncomingMessage, IngestResult};
use super::rejected::{RejectedCount, RejectedMessage};
use super::sighting::{Listing, Query, StoredBrief, StoredSighting};
use flukewatch_common::clock::Timestamp;
use uuid::Uuid;

/// Keeps what boats send. All methods block and may be called from several threads.
pub trait Store: Send + Sync {
    /// Stores a batch in one transaction that is on disk when this returns. Returns one result per
    /// message, in order.
    ///
    /// A sighting or picture that was stored before counts as stored; of two with the same id, the
    /// same revision and different content the first stays. The highest revision of a sighting
    /// replaces the others, in whatever order they arrive; these are kept.
    ///
    /// # Errors
    /// When the batch could not be written; then none of it is stored.
    fn accept(
        &self,
        batch: &[IncomingMessage],
        now: Timestamp,
    ) -> Result<Vec<IngestResult>, StoreError>;

    /// The sightings that match `query`.
    ///
    /// # Errors
    /// When the database fails.
    fn sightings(&self, query: &Query) -> Result<Listing, StoreError>;

    /// The sighting with this id, if it is stored.
    ///
    /// # Errors
    /// When the database fails.
    fn sighting(&self, id: Uuid) -> Result<Option<StoredSighting>, StoreError>;

    /// The revisions of this sighting that a higher one has replaced, lowest first; their picture is
    /// the sighting's.
    ///
    /// # Errors
    /// When the database fails.
    fn earlier_revisions(&self, id: Uuid) -> Result<Vec<StoredSighting>, StoreError>;

    /// The briefs that match boat and verdict of `query`, whose sightings have not arrived, or not in this
    /// revision; newest first.
    ///
    /// # Errors
    /// When the database fails.
    fn briefs(&self, query: &Query) -> Result<Vec<StoredBrief>, StoreError>;

    /// The JPEG file of a sighting whose picture is stored and readable; `None` for any other.
    ///
    /// # Errors
    /// When the database or the file fails.
    fn picture(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError>;

    /// All boats, by name.
    ///
    /// # Errors
    /// When the database fails.
    fn boats(&self) -> Result<Vec<BoatStatus>, StoreError>;

    /// The latest rejected messages, newest first.
    ///
    /// # Errors
    /// When the database fails.
    fn rejected_messages(&self, limit: usize) -> Result<Vec<RejectedMessage>, StoreError>;

    /// The number of rejected messages, by reason.
    ///
    /// # Errors
    /// When the database fails.
    fn rejected_counts(&self) -> Result<Vec<RejectedCount>, StoreError>;
}
