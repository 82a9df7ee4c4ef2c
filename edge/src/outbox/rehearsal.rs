//! Tries what a boat needs of its outbox, also while the boat works.

use super::accept::{Outbox, reject_other_boats};
use super::epoch::NewEpoch;
use super::error::OutboxError;
use super::pictures::Pictures;
use super::{folder, recover, schema};
use flukewatch_common::sighting::BoatId;
use rusqlite::{Connection, TransactionBehavior};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Rehearses opening the outbox of `boat` in `folder`: creates a small outbox in a subfolder, writes
/// to each existing folder and file, verifies the database and begins a transaction. Removes what it
/// created; `fresh.id` makes its names unique.
///
/// # Errors
/// When a boat could not run, or would set something aside.
pub fn rehearse(folder: &Path, boat: &BoatId, fresh: NewEpoch) -> Result<(), OutboxError> {
    let created = Created(folder::create(folder)?);
    let trial = Trial(folder.join(format!("check-{}", fresh.id)));
    Outbox::open(&trial.0, boat, u64::MAX, fresh)?.check_reserve()?;
    for part in ["pictures", "recordings", "archive"].map(|name| folder.join(name)) {
        match std::fs::metadata(&part) {
            Ok(found) if found.is_dir() => write_in(&part, fresh)?,
            Ok(_) => return Err(OutboxError::NotAFolder(part)),
            Err(e) if e.kind() == ErrorKind::NotFound && !part.is_symlink() => {}
            Err(e) => return Err(OutboxError::disk(&part)(e)),
        }
    }
    for name in ["outbox.lock", "outbox.reserve"] {
        let file = folder.join(name);
        match OpenOptions::new().write(true).open(&file) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(OutboxError::disk(&file)(e)),
            _ => {}
        }
    }
    let existing = recover::sound(folder, &Pictures::of(folder), None)?;
    if let Some(mut connection) = existing {
        reject_other_boats(&connection, folder, boat)?;
        write_nothing(&mut connection).map_err(OutboxError::database(folder))?;
    }
    drop(trial);
    drop(created);
    Ok(())
}

/// Writes to the database without an effect.
fn write_nothing(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "user_version", schema::VERSION)?;
    transaction.rollback()
}

/// Writes a file in `folder`, and removes it.
fn write_in(folder: &Path, fresh: NewEpoch) -> Result<(), OutboxError> {
    let file = folder.join(format!("check-{}", fresh.id));
    let written = File::create_new(&file).and_then(|mut f| {
        f.write_all(b"check")?;
        f.sync_all()
    });
    let removed = std::fs::remove_file(&file);
    written.and(removed).map_err(OutboxError::disk(&file))
}

/// A folder to remove with its content.
struct Trial(PathBuf);

impl Drop for Trial {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "cannot remove the folder of the check");
        }
    }
}

/// Folders to remove where they are empty, outer ones first.
struct Created(Vec<PathBuf>);

impl Drop for Created {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
