//! What shore keeps: sightings, pictures, when each boat was last heard, and what was refused.
//!
//! [`Store`] is the interface; [`sqlite::SqliteStore`] keeps rows in `DIR/shore.sqlite3` and pictures as files in
//! `DIR/pictures/`. Pictures are files and not blobs because they are what people copy, open and back up, because
//! the database stays small enough to copy on a thin link, and because another database behind the same trait then need
//! not carry them.

pub mod arrival;
mod footage;
mod pictures;
mod rows;
mod schema;
pub mod sqlite;

use arrival::{Arrival, Outcome};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, Sighting};
use std::path::PathBuf;
use uuid::Uuid;

/// Why the store cannot do what it was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or opened.
    #[error("the data folder {folder} cannot be used: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is nothing to read.
    #[error(
        "{0} holds no data of shore: give the folder that 'flukewatch-shore serve --data' was started with"
    )]
    NoData(PathBuf),
    /// Two stations must not share a folder.
    #[error(
        "the data folder {0} is in use by another flukewatch-shore: stop that one, or choose another folder"
    )]
    InUse(PathBuf),
    /// Written by a newer Flukewatch.
    #[error("the database has version {got}; this program reads versions up to {known}: update it")]
    Newer {
        /// The file's.
        got: i64,
        /// The newest that is read.
        known: i64,
    },
    /// Written by an older Flukewatch, and only to be read here.
    #[error(
        "the database has version {got}, this program reads version {wanted}: 'flukewatch-shore serve' brings it up to date"
    )]
    Older {
        /// The file's.
        got: i64,
        /// The one that is read.
        wanted: i64,
    },
    /// A picture file cannot be read or written.
    #[error("the picture file {file} cannot be used: {source}")]
    Picture {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database failed, as when the disk is full.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A row that this program cannot have written.
    #[error("the database holds {what} that cannot be read: {value}")]
    Damaged {
        /// Which kind of value.
        what: &'static str,
        /// The value.
        value: String,
    },
}

/// Where the picture of a sighting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureState {
    /// Not arrived yet.
    Missing,
    /// Stored, and as the sighting announced it.
    Stored,
    /// Stored as announced, but no JPEG of a sane size: never shown.
    Broken,
    /// What came first is not what the sighting announced: never shown, and replaced when the right one comes.
    Mismatched,
}

/// A sighting as shore keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSighting {
    /// What the boat sent.
    pub sighting: Sighting,
    /// When it was stored.
    pub received: Timestamp,
    /// Where its picture stands.
    pub picture: PictureState,
}

/// One of the three verdicts, without the whale: to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    /// A whale of the catalogue.
    Known,
    /// Not in the catalogue.
    New,
    /// For a person to look at.
    Review,
}

impl VerdictKind {
    /// `known`, `new` or `review`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::New => "new",
            Self::Review => "review",
        }
    }

    /// The reverse of [`VerdictKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Known, Self::New, Self::Review]
            .into_iter()
            .find(|v| v.as_str() == text)
    }
}

/// Which sightings, newest first by the time that they began.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this boat only.
    pub boat: Option<BoatId>,
    /// With this verdict only.
    pub verdict: Option<VerdictKind>,
    /// Of this encounter only.
    pub encounter: Option<Uuid>,
    /// How many are left out at the start.
    pub offset: u64,
    /// How many at most.
    pub limit: u64,
}

/// A part of the sightings that a [`Query`] chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// How many the query would give without offset and limit.
    pub total: u64,
    /// The part.
    pub sightings: Vec<StoredSighting>,
}

/// Sequence numbers that a boat gave and shore has not seen, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first that is missing.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// The most gaps of a boat that are listed; [`BoatStatus::missing`] counts them all.
pub const MAX_GAPS: usize = 100;

/// A boat, as shore knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoatStatus {
    /// Its name.
    pub boat: BoatId,
    /// When its first message was stored.
    pub first_seen: Timestamp,
    /// When its last message came.
    pub last_seen: Timestamp,
    /// Sightings stored.
    pub sightings: u64,
    /// The highest sequence number; 0 before the first sighting.
    pub highest_sequence: u64,
    /// Sequence numbers below the highest that have not come.
    pub missing: u64,
    /// The same as ranges, lowest first, at most [`MAX_GAPS`].
    pub gaps: Vec<Gap>,
    /// Sightings whose sequence number another sighting has too: the boat's outbox was probably begun anew.
    pub repeated: u64,
    /// Sightings whose picture has not come, or not as announced.
    pub pictures_missing: u64,
    /// Pictures whose sighting has not come.
    pub pictures_waiting: u64,
}

/// A message that was not stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedMessage {
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub detail: String,
    /// Where it was published.
    pub topic: String,
    /// How large it was.
    pub bytes: u64,
    /// Its first bytes, in hexadecimal.
    pub head: String,
    /// How often the same message came.
    pub times: u64,
    /// When it first came.
    pub first_seen: Timestamp,
    /// When it last came.
    pub last_seen: Timestamp,
}

/// How many messages were refused for one reason, those that are no longer kept included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCount {
    /// Why, in a word.
    pub reason: String,
    /// How many.
    pub total: u64,
}

/// Keeps what boats send. All methods block and may be called from several threads.
pub trait Store: Send + Sync {
    /// Stores a batch in one transaction that is on disk when this returns. Gives one outcome for each arrival, in their order.
    ///
    /// A sighting or picture that is there already counts as stored; of two with the same id and different content the first stays.
    ///
    /// # Errors
    /// When the batch could not be written; then none of it is stored.
    fn accept(&self, batch: &[Arrival], now: Timestamp) -> Result<Vec<Outcome>, StoreError>;

    /// The sightings that `query` chooses.
    ///
    /// # Errors
    /// When the database fails.
    fn sightings(&self, query: &Query) -> Result<Listing, StoreError>;

    /// One sighting.
    ///
    /// # Errors
    /// When the database fails.
    fn sighting(&self, id: Uuid) -> Result<Option<StoredSighting>, StoreError>;

    /// The JPEG file of a sighting whose picture is [`PictureState::Stored`]; `None` for any other.
    ///
    /// # Errors
    /// When the database or the file fails.
    fn picture(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError>;

    /// All boats, by name.
    ///
    /// # Errors
    /// When the database fails.
    fn boats(&self) -> Result<Vec<BoatStatus>, StoreError>;

    /// The messages refused last, newest first.
    ///
    /// # Errors
    /// When the database fails.
    fn refused(&self, most: usize) -> Result<Vec<RefusedMessage>, StoreError>;

    /// How many messages were refused, by reason.
    ///
    /// # Errors
    /// When the database fails.
    fn refused_counts(&self) -> Result<Vec<RefusedCount>, StoreError>;
}
