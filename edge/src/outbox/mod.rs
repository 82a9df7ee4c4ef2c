//! The outbox: where sightings wait on the boat until shore has them, so that neither a power cut nor a dead link loses one.
//!
//! A folder with the database `outbox.sqlite3` (WAL, `synchronous=FULL`), the folder `pictures` and a lock file. What
//! [`Outbox::accept`] has returned from is on the disk for good; it leaves only on shore's receipt ([`Queue::receipted`]) or, when
//! it can never be sent, for the table of dead letters, where a person finds it.
//!
//! Two connections, one thread each: [`Outbox`] writes, [`Queue`] sends and deletes. Half a megabyte of disk is kept back for deleting:
//! on a full disk [`Outbox`] refuses while [`Queue`] can still make room.
//!
//! What shore has receipted may stay for a while in the archive, for people on board ([`Queue::archives`]); it goes first where the disk
//! has no room for a new sighting.

mod accept;
mod archive;
mod error;
mod listing;
mod pictures;
mod queue;
mod recent;
mod reserve;
mod schema;

pub use accept::Outbox;
pub use archive::ArchiveLimits;
pub use error::OutboxError;
pub use listing::{Listed, Listing};
pub use queue::{Backlog, Counts, Key, Load, Queue, Queued};
pub use recent::{Recent, recent, recent_picture};

#[cfg(test)]
mod tests;
