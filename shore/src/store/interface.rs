//! The interface of the store.

use super::boat::BoatStatus;
use super::bundle_transfer::{BundleTransfer, RecordedOffer};
use super::error::StoreError;
use super::file_request::{FileRequest, NewFileRequest, RequestOutcome};
use super::message::{IncomingMessage, IngestResult};
use super::quarantine::Quarantined;
use super::rejected::{RejectedCount, RejectedMessage};
use super::sighting::{Listing, Query, StoredBrief, StoredSighting};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::RequestedFile;
use flukewatch_common::sighting::BoatId;
use std::collections::BTreeMap;
use std::fs::File;
use uuid::Uuid;

/// Keeps what boats send. All methods block and may be called from several threads.
pub trait Store: Send + Sync {
    /// Stores a batch in one transaction that is on disk when this returns, and pictures whose last part is in it in a
    /// second one. Returns one result per message, in order.
    ///
    /// A sighting or picture that was stored before counts as stored; of two with the same id, the
    /// same revision and different content the first stays. The highest revision of a sighting
    /// replaces the others, in whatever order they arrive; these are kept.
    ///
    /// A message that alone cannot be stored, e.g. since what it revises is damaged, does not keep the
    /// others from being stored. A sighting whose number or time cannot be right is kept in quarantine.
    ///
    /// # Errors
    /// When the batch could not be written; then none of it is stored but, perhaps, parts of pictures.
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

    /// Records `open`, the offers of bundles that stand at `now`: others that stood before are withdrawn.
    /// Returns the transfers of `open`, in their order, then those that are withdrawn now.
    ///
    /// # Errors
    /// When the database fails; then nothing is recorded.
    fn record_offers(
        &self,
        open: &[RecordedOffer],
        now: Timestamp,
    ) -> Result<Vec<BundleTransfer>, StoreError>;

    /// The last transfer of each boat that was offered a bundle, by the boat's name.
    ///
    /// # Errors
    /// When the database fails.
    fn last_transfers(&self) -> Result<Vec<BundleTransfer>, StoreError>;

    /// Requests a file of a boat, unless the boat has too many open requests.
    ///
    /// # Errors
    /// When the database fails; then nothing is requested.
    fn request_file(
        &self,
        request: &NewFileRequest,
        now: Timestamp,
    ) -> Result<RequestOutcome, StoreError>;

    /// Cancels a request, and deletes what was received of its file. Returns whether it was open.
    ///
    /// # Errors
    /// When the database fails.
    fn cancel_file_request(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError>;

    /// The latest requests of files, newest first; with `sighting` only those of its encounter.
    ///
    /// # Errors
    /// When the database fails.
    fn file_requests(&self, sighting: Option<Uuid>) -> Result<Vec<FileRequest>, StoreError>;

    /// The file of a request that is complete; `None` for any other.
    ///
    /// # Errors
    /// When the database or the file fails.
    fn received_file(&self, request: Uuid) -> Result<Option<(FileRequest, File)>, StoreError>;

    /// The files that are wanted at `now` of each boat that any was ever requested of. Ends the requests that have
    /// expired.
    ///
    /// # Errors
    /// When the database fails.
    fn wanted_files(
        &self,
        now: Timestamp,
    ) -> Result<BTreeMap<BoatId, Vec<RequestedFile>>, StoreError>;

    /// The time of a new command to `boat`: `now`, or later than the one before if the clock was set back.
    ///
    /// # Errors
    /// When the database fails.
    fn issue_command(&self, boat: &BoatId, now: Timestamp) -> Result<Timestamp, StoreError>;

    /// Sightings whose sequence number or time cannot be right, the latest first. They are on disk, and do
    /// not count anywhere else.
    ///
    /// # Errors
    /// When the database fails.
    fn quarantine(&self) -> Result<Vec<Quarantined>, StoreError>;

    /// Deletes a sighting in quarantine, with all its revisions. Returns how many were deleted.
    ///
    /// # Errors
    /// When the database fails.
    fn delete_quarantined(&self, sighting: Uuid) -> Result<usize, StoreError>;

    /// Takes a sighting out of quarantine, with all its revisions, and stores it as if it were plausible.
    /// Returns how many were stored.
    ///
    /// # Errors
    /// When the database fails.
    fn release_quarantined(&self, sighting: Uuid, now: Timestamp) -> Result<usize, StoreError>;

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
