//! The outbox: holds sightings on the boat until shore has acknowledged them, through power cuts
//! and disconnections.
//!
//! A folder with the database `outbox.sqlite3` (WAL, `synchronous=FULL`), the folders `pictures` and
//! `recordings` and a lock file. What [`Outbox::accept`] has returned from is durable. It leaves only when
//! shore acknowledges it ([`Queue::acknowledge`]), or, where it can never be sent or shore rejects it
//! ([`Queue::reject`]), for the table of dead letters, which `flukewatch-edge outbox` lists.
//!
//! Connections, a thread each: [`Outbox`] writes, [`Recordings`] adds verdicts, [`Queue`] sends and deletes. Half a
//! megabyte of disk is reserved for deleting: on a full disk [`Outbox`] rejects sightings while
//! [`Queue`] can still free space.
//!
//! A database that is damaged, missing or new while there are accepted pictures is replaced: what is
//! there is set aside, and a new epoch of sequence numbers begins. The messages that can still be read are
//! added to the new one ([`salvage()`]).
//!
//! Messages age by the outbox's own clock, which no other clock affects ([`OutboxClock`]).
//!
//! A sighting whose times turn out to be wrong is queued again as a revision
//! ([`Queue::correct_times`]), which replaces its pending message. An acknowledgement names the
//! revision, so that an older one deletes nothing.
//!
//! An encounter is accepted with its recording before it is identified ([`Outbox::record`]). Its verdict
//! is a revision, too ([`Recordings::conclude`]). Recordings stay on board after shore has acknowledged
//! their sightings, within limits.
//!
//! Over a slow link a sighting goes first as a brief, which is made of it. Shore's acknowledgement of a brief
//! deletes nothing.
//!
//! Acknowledged sightings may be kept in the archive, for people on board ([`Queue::archives`]). A
//! full disk empties the archive before it rejects a sighting.

mod accept;
mod accepted_files;
mod archive;
mod archive_row;
mod briefed;
mod briefs;
mod clock;
mod correct_times;
mod epoch;
mod error;
mod folder;
mod full_disk;
mod key;
mod listing;
mod new_row;
mod park;
mod pending_size;
mod pictures;
mod queue;
mod recent;
mod recording_files;
mod recordings;
mod recover;
mod rehearsal;
mod reject;
mod requested_files;
mod resend;
mod reserve;
mod revise;
mod salvage;
mod schema;
mod set_aside;
mod taken;

pub use accept::Outbox;
pub use archive::ArchiveLimits;
pub use clock::OutboxClock;
pub use correct_times::{Corrected, Correction};
pub use epoch::NewEpoch;
pub use error::OutboxError;
pub use key::Key;
pub use listing::{Listed, Listing};
pub use queue::{
    Backlog, Carried, Counts, KindBytes, Load, Pending, PendingBytes, Queue, QueueOpener,
};
pub use recent::{Recent, recent, recent_picture};
pub use recordings::{OpenRecording, RecordingLimits, Recordings};
pub use rehearsal::rehearse;
pub use resend::resend;
pub use salvage::salvage;
pub use set_aside::{Salvaged, SetAside, set_aside};
pub use taken::Taken;

#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod replaced_tests;
#[cfg(test)]
mod tests;
