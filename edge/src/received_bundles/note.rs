//! The note of the bundle in use.

use super::MAX_ENDED;
use super::received_bundle::ReceivedBundle;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::bundle_transfer::TransferProgress;
use flukewatch_common::sighting::MAX_REASON_BYTES;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The file in the folder of received bundles.
const NAME: &str = "in-use.json";
/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why the note cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", .file.display())]
pub struct NoteError {
    /// Path of the file.
    pub file: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

/// Which received bundle is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// The bundle in use; `None`: that of the configuration.
    pub(super) used: Option<ReceivedBundle>,
    /// The one before; `None`: that of the configuration.
    pub(super) previous: Option<ReceivedBundle>,
    /// The SHA-256 of the manifest of the configuration's bundle when the one in use was installed.
    pub(super) instead_of: Option<String>,
    /// While the bundle in use is on trial, the starts of the program that have not ended in order.
    pub(super) trial: Option<u32>,
    /// Offers that were rejected or rolled back, the latest first.
    pub(super) ended: Vec<EndedOffer>,
}

/// An offer that was rejected or rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndedOffer {
    pub(super) offer: Uuid,
    was_used: bool,
    reason: String,
}

impl EndedOffer {
    pub(super) fn rejected(offer: Uuid, reason: &str) -> Self {
        Self {
            offer,
            was_used: false,
            reason: one_line(reason, MAX_REASON_BYTES),
        }
    }

    pub(super) fn rolled_back(offer: Uuid, reason: &str) -> Self {
        Self {
            was_used: true,
            ..Self::rejected(offer, reason)
        }
    }

    /// What the boat reports of it.
    pub(super) fn progress(&self) -> TransferProgress {
        let reason = self.reason.clone();
        if self.was_used {
            TransferProgress::RolledBack { reason }
        } else {
            TransferProgress::Rejected { reason }
        }
    }
}

impl Note {
    /// Notes how an offer ended.
    pub(super) fn end(&mut self, offer: EndedOffer) {
        self.ended.retain(|ended| ended.offer != offer.offer);
        self.ended.insert(0, offer);
        self.ended.truncate(MAX_ENDED);
    }
}

/// The note's file.
pub(super) struct NoteFile {
    file: PathBuf,
}

impl NoteFile {
    /// The file in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            file: folder.join(NAME),
        }
    }

    /// The note; an empty one where the file is missing.
    pub(super) fn read(&self) -> Result<Note, NoteError> {
        let opened = match File::open(&self.file) {
            Ok(opened) => opened,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Note::default());
            }
            Err(e) => return Err(self.error(e)),
        };
        let mut text = vec![];
        let read = opened.take(MAX_BYTES).read_to_end(&mut text);
        read.map_err(|e| self.error(e))?;
        serde_json::from_slice(&text).map_err(|e| self.error(e.into()))
    }

    pub(super) fn write(&self, note: &Note) -> Result<(), NoteError> {
        let written = || -> io::Result<()> {
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut text = serde_json::to_vec_pretty(note)?;
            text.push(b'\n');
            write_atomically(&self.file, &text)
        };
        written().map_err(|e| self.error(e))
    }

    fn error(&self, source: io::Error) -> NoteError {
        NoteError {
            file: self.file.clone(),
            source,
        }
    }
}
