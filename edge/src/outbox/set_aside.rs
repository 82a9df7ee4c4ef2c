//! Sets aside what cannot be used any more, next to the outbox, where a person finds it: nothing that
//! was accepted is deleted.

use super::error::OutboxError;
use super::schema;
use flukewatch_common::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const REASON_FILE: &str = "reason.txt";
/// The file that says what was brought back, once that is done.
const SALVAGED_FILE: &str = "salvaged.json";
/// How often a name that is taken is followed by another: a clock may show the same second again.
const MAX_NAMES: u32 = 10_000;

/// A folder with an earlier outbox, or pictures of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Path of the folder.
    pub folder: PathBuf,
    /// Why it was set aside.
    pub reason: String,
    /// What was brought back; `None` until that is done.
    #[serde(default)]
    pub salvaged: Option<Salvaged>,
}

/// What was brought back from an outbox that was set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvaged {
    /// Messages that are in the new outbox.
    pub messages: u64,
    /// Whether all of the database could be read.
    pub complete: bool,
}

/// Notes in the folder `aside` what was brought back from it.
pub(super) fn note_salvaged(aside: &Path, salvaged: &Salvaged) -> Result<(), OutboxError> {
    let note = aside.join(SALVAGED_FILE);
    let text = serde_json::to_vec(salvaged).map_err(OutboxError::Json)?;
    std::fs::write(&note, text).map_err(OutboxError::disk(&note))
}

/// Sets aside database, pictures, recordings and archive of the outbox in `folder`.
pub(super) fn everything(
    folder: &Path,
    reason: &str,
    now: Timestamp,
) -> Result<PathBuf, OutboxError> {
    let mut names: Vec<PathBuf> = ["pictures", "recordings", "archive"]
        .map(PathBuf::from)
        .to_vec();
    names.extend(schema::files());
    move_away(folder, &names, reason, now)
}

/// Sets aside these files, named relative to the outbox.
pub(super) fn files(
    folder: &Path,
    names: &[PathBuf],
    reason: &str,
    now: Timestamp,
) -> Result<PathBuf, OutboxError> {
    move_away(folder, names, reason, now)
}

/// What was set aside of the outbox in `folder` and is still there, oldest first.
pub fn set_aside(folder: &Path) -> Vec<SetAside> {
    let mut found = vec![];
    for (place, prefix) in places(folder) {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && entry.path().is_dir() {
                let reason = std::fs::read_to_string(entry.path().join(REASON_FILE));
                let reason = reason.unwrap_or_default();
                let salvaged = std::fs::read(entry.path().join(SALVAGED_FILE)).ok();
                found.push(SetAside {
                    salvaged: salvaged.and_then(|text| serde_json::from_slice(&text).ok()),
                    folder: entry.path(),
                    reason: reason.lines().next().unwrap_or_default().to_owned(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    found
}

/// Where to set aside, as folder and prefix of a name: next to the outbox, or in it where that is
/// impossible, e.g. because the outbox is a file system of its own.
fn places(folder: &Path) -> Vec<(PathBuf, String)> {
    let inside = (folder.to_owned(), "set-aside-".to_owned());
    let real = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => {
            let prefix = format!("{}-set-aside-", name.to_string_lossy());
            vec![(parent.to_owned(), prefix), inside]
        }
        _ => vec![inside],
    }
}

fn move_away(
    folder: &Path,
    names: &[PathBuf],
    reason: &str,
    now: Timestamp,
) -> Result<PathBuf, OutboxError> {
    let mut failure = None;
    for (place, prefix) in places(folder) {
        let moved = create(&place, &prefix, reason, now)
            .and_then(|target| move_to(folder, &target, names).map(|()| target));
        match moved {
            Ok(target) => {
                tracing::error!(
                    reason,
                    folder = %target.display(),
                    "outbox set aside; what can be read of it is sent in the background"
                );
                return Ok(target);
            }
            Err(e) => failure = Some(e),
        }
    }
    let failure = failure.unwrap_or_else(|| ErrorKind::NotFound.into());
    Err(OutboxError::disk(folder)(failure))
}

/// Creates a folder in `place` with a new name.
fn create(place: &Path, prefix: &str, reason: &str, now: Timestamp) -> std::io::Result<PathBuf> {
    // Some file systems do not allow colons in names.
    let time = now.to_string().replace(':', "-");
    let time = time.split('.').next().unwrap_or_default().to_owned();
    for number in 1..=MAX_NAMES {
        let suffix = match number {
            1 => String::new(),
            _ => format!("-{number}"),
        };
        let target = place.join(format!("{prefix}{time}{suffix}"));
        match std::fs::create_dir(&target) {
            Ok(()) => {
                let written = File::create(target.join(REASON_FILE)).and_then(|mut file| {
                    writeln!(file, "{reason}")?;
                    file.sync_all()
                });
                // On a full disk the files are moved all the same.
                if let Err(error) = written {
                    tracing::warn!(%error, "cannot write why the outbox was set aside");
                }
                return Ok(target);
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn move_to(folder: &Path, target: &Path, names: &[PathBuf]) -> std::io::Result<()> {
    for name in names {
        let to = target.join(name);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match std::fs::rename(folder.join(name), to) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                // Left where nothing was moved: another place is tried.
                let _ = std::fs::remove_file(target.join(REASON_FILE));
                for part in ["pictures", "recordings"] {
                    let _ = std::fs::remove_dir(target.join(part));
                }
                let _ = std::fs::remove_dir(target);
                return Err(e);
            }
        }
    }
    for changed in [Some(folder), Some(target), target.parent()]
        .into_iter()
        .flatten()
    {
        File::open(changed)?.sync_all()?;
    }
    Ok(())
}
