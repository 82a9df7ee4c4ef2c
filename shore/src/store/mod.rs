//! What shore keeps: sightings with their earlier revisions, pictures, when each boat was last
//! seen, its last status report, the bundles that it was offered and the files that were requested of it,
//! rejected messages, and sightings in quarantine.
//!
//! [`Store`] is the interface; [`SqliteStore`] keeps rows in `DIR/shore.sqlite3`, pictures as
//! files in `DIR/pictures/`, what has arrived of others in `DIR/pictures/parts/` and requested files in `DIR/files/`. Pictures are files and not blobs because they are what people copy,
//! open and back up, because the database stays small enough to copy over a slow link, and because
//! another database behind the same trait then need not carry them.

mod boat;
mod briefs;
mod bundle_transfer;
mod earlier_revisions;
mod error;
mod file_request;
mod file_request_rows;
mod footage_columns;
mod interface;
mod message;
mod part_files;
mod picture_parts;
mod pictures;
mod quarantine;
mod received_files;
mod rejected;
mod schema;
mod sighting;
mod sighting_rows;
mod sqlite;
mod status_reports;
mod tables;
mod transfer_rows;
mod upgrade;
mod write;
mod write_chunk;
mod write_picture;

pub use boat::{BoatStatus, Contact, Gap, LastReport, MAX_GAPS};
pub use bundle_transfer::{
    BundleTransfer, MAX_TRANSFER_BYTES, MAX_TRANSFERS, RecordedOffer, ReportTimes, TransferStage,
    TransferredBytes,
};
pub use error::StoreError;
pub use file_request::{
    FileRequest, MAX_LISTED_REQUESTS, MAX_OPEN_BYTES, NewFileRequest, RequestOutcome,
    RequestProgress,
};
pub use interface::Store;
pub use message::{
    Content, IncomingMessage, IngestResult, MAX_HEAD_BYTES, MessageMeta, RejectReason, Rejection,
};
pub use picture_parts::MAX_PARTED_BYTES_OF_BOAT;
pub use quarantine::Quarantined;
pub use rejected::{MAX_REJECTED_MESSAGES, RejectedCount, RejectedMessage};
pub use sighting::{Listing, PictureState, Query, StoredBrief, StoredSighting, VerdictKind};
pub use sqlite::SqliteStore;
