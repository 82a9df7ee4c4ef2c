//! Opens the database, and replaces one that cannot be the outbox's any more.

use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::pictures::{Pictures, Row, Tidied};
use super::{schema, set_aside};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashSet;
use std::path::Path;
use uuid::Uuid;

/// The reason where a database without a sighting has pictures.
pub(super) const NEW: &str = "its database is new";

/// Opens or creates the database in `folder`. Sets aside one that is damaged, missing or new while
/// there are accepted pictures, and what belongs to it.
pub(super) fn open(
    folder: &Path,
    pictures: &Pictures,
    fresh: &NewEpoch,
) -> Result<Connection, OutboxError> {
    let reason = match sound(folder, pictures, Some(fresh)) {
        Ok(Some(connection)) => return Ok(connection),
        Ok(None) => return schema::open_or_create(folder, fresh),
        Err(OutboxError::Damaged { reason, .. }) => format!("its database is damaged: {reason}"),
        Err(OutboxError::Lost { reason, .. }) => reason.to_owned(),
        Err(e) => return Err(e),
    };
    set_aside::everything(folder, &reason, fresh.now)?;
    pictures.create_folder()?;
    schema::open_or_create(folder, fresh)
}

/// The verified database; `None` where there is none, and none is missing. With `create`, an empty
/// one is completed.
///
/// # Errors
/// [`OutboxError::Damaged`] and [`OutboxError::Lost`] for one to replace.
pub(super) fn sound(
    folder: &Path,
    pictures: &Pictures,
    create: Option<&NewEpoch>,
) -> Result<Option<Connection>, OutboxError> {
    let lost = |reason| OutboxError::Lost {
        path: folder.to_owned(),
        reason,
    };
    if let Some(reason) = schema::absence(folder)? {
        return if schema::has_log(folder) || pictures.any_accepted()? {
            Err(lost(reason))
        } else {
            Ok(None)
        };
    }
    // Before the rows: while a boat works, pictures are accepted meanwhile.
    let any_accepted = pictures.any_accepted()?;
    let connection = match create {
        Some(fresh) => Some(schema::open_or_create(folder, fresh)?),
        None => schema::open(folder)?,
    };
    let Some(connection) = connection else {
        return if any_accepted {
            Err(lost(NEW))
        } else {
            Ok(None)
        };
    };
    schema::verify(&connection, folder)?;
    if any_accepted && schema::is_unused(&connection, folder)? {
        return Err(lost(NEW));
    }
    Ok(Some(connection))
}

/// Removes what a power cut left half-written. Pictures that were accepted and are unknown are set
/// aside; then the database is an older one, whose numbers may be used twice, and a new epoch begins.
pub(super) fn tidy(
    folder: &Path,
    pictures: &Pictures,
    connection: &Connection,
    fresh: &NewEpoch,
) -> Result<(), OutboxError> {
    let kept = named(
        connection,
        folder,
        "SELECT picture FROM pending WHERE picture IS NOT NULL
         UNION SELECT picture FROM dead_letter WHERE picture IS NOT NULL",
    )?;
    let archived = named(
        connection,
        folder,
        "SELECT picture FROM archive WHERE picture IS NOT NULL",
    )?;
    let Tidied { deleted, unknown } = pictures.tidy(|name| {
        Ok(if kept.contains(name) {
            Row::Kept
        } else if archived.contains(name) {
            Row::Archived
        } else if is_accepted(connection, name).map_err(OutboxError::database(folder))? {
            Row::Done
        } else {
            Row::Unknown
        })
    })?;
    if deleted > 0 {
        tracing::info!(
            removed = deleted,
            "removed pictures that were never accepted, or are acknowledged"
        );
    }
    if !unknown.is_empty() {
        let reason = format!(
            "its database does not know {} accepted pictures: it is an older copy, or lost its last commits",
            unknown.len()
        );
        set_aside::pictures(folder, &unknown, &reason, fresh.now)?;
        let begun = schema::begin_epoch(connection, &fresh.following(fresh.now));
        begun.map_err(OutboxError::database(folder))?;
    }
    Ok(())
}

/// Whether the sighting of a picture was ever accepted.
fn is_accepted(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let Some(Ok(id)) = name.strip_suffix(".jpg").map(str::parse::<Uuid>) else {
        return Ok(false);
    };
    connection
        .query_row(
            "SELECT 1 FROM sighting WHERE id = ?",
            [id.as_bytes().as_slice()],
            |_| Ok(()),
        )
        .optional()
        .map(|found| found.is_some())
}

/// The picture files that `query` selects.
fn named(
    connection: &Connection,
    folder: &Path,
    query: &str,
) -> Result<HashSet<String>, OutboxError> {
    let failed = OutboxError::database(folder);
    let mut statement = connection.prepare(query).map_err(&failed)?;
    let names = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
    names.collect::<Result<_, _>>().map_err(&failed)
}
