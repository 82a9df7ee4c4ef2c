//! The outbox: where sightings wait on the boat until shore has them, so that neither a power cut nor a dead link loses one.
//!
//! A folder with the database `outbox.sqlite3` (WAL, `synchronous=FULL`), the folder `pictures` and a lock file. What
//! [`Outbox::accept`] has returned from is on the disk for good; it leaves only on shore's receipt ([`Queue::receipted`]) or, when
//! it can never be sent, for the table of dead letters, where a person finds it.
//!
//! Two connections, one thread each: [`Outbox`] writes, [`Queue`] sends and deletes. Half a megabyte of disk is kept back for deleting:
//! on a full disk [`Outbox`] refuses while [`Queue`] can still make room.

mod accept;
mod error;
mod listing;
mod pictures;
mod queue;
mod reserve;
mod schema;

pub use accept::Outbox;
pub use error::OutboxError;
pub use listing::{Listed, Listing};
pub use queue::{Counts, Key, Load, Queue, Queued};

#[cfg(test)]
mod tests;
