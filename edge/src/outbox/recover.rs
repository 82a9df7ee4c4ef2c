//! Opens the database, and replaces one that cannot be the outbox's any more.

use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::pictures::{Pictures, Row, Tidied};
use super::recording_files::RecordingFiles;
use super::{schema, set_aside};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
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
    recordings: &RecordingFiles,
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
        } else {
            let accepted = sighting_of(name).map(|id| is_accepted(connection, id));
            match accepted
                .transpose()
                .map_err(OutboxError::database(folder))?
            {
                Some(true) => Row::Done,
                Some(false) | None => Row::Unknown,
            }
        })
    })?;
    if deleted > 0 {
        tracing::info!(
            removed = deleted,
            "removed pictures that were never accepted, or are acknowledged"
        );
    }
    let mut lost: Vec<PathBuf> = unknown
        .iter()
        .map(|n| Path::new("pictures").join(n))
        .collect();
    let recordings = recordings.tidy(|id| {
        let recorded = is_recorded(connection, id);
        let done = is_accepted(connection, id);
        let row = |recorded, done| match (recorded, done) {
            (true, _) => Row::Kept,
            (false, true) => Row::Done,
            (false, false) => Row::Unknown,
        };
        recorded
            .and_then(|recorded| done.map(|done| row(recorded, done)))
            .map_err(OutboxError::database(folder))
    })?;
    lost.extend(recordings);
    if !lost.is_empty() {
        let reason = format!(
            "its database does not know {} accepted files: it is an older copy, or lost its last commits",
            lost.len()
        );
        set_aside::files(folder, &lost, &reason, fresh.now)?;
        let begun = schema::begin_epoch(connection, &fresh.following(fresh.now));
        begun.map_err(OutboxError::database(folder))?;
    }
    Ok(())
}

/// The sighting of a picture.
fn sighting_of(picture: &str) -> Option<Uuid> {
    picture.strip_suffix(".jpg")?.parse().ok()
}

/// Whether there is a recording of a sighting.
fn is_recorded(connection: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM recording WHERE sighting = ?")?
        .exists([id.as_bytes().as_slice()])
}

/// Whether a sighting was ever accepted.
fn is_accepted(connection: &Connection, id: Uuid) -> rusqlite::Result<bool> {
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
