//! The bundles that arrived over the air, and which one the boat uses.
//!
//! They are in the folder `bundles` in the outbox's folder, each in a folder named by the SHA-256 of its
//! manifest. The note `in-use.json` there says which of them is used instead of `bundle.path`, and which to
//! return to. A received bundle is used until `bundle.path` holds another bundle than when it was received:
//! what a person puts on board counts more than what arrived before.

mod note;
mod received_bundle;

pub use received_bundle::ReceivedBundle;

use crate::bounded_note::{BoundedNote, NoteError};
use crate::config::Config;
use flukewatch_common::bundle::{AcceptedBundle, BundleHead};
use flukewatch_common::bundle_transfer::{BundleOffer, ContentId, TransferProgress};
use note::{EndedOffer, Note, note_file};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder in the outbox's folder.
const FOLDER: &str = "bundles";
/// Offers that were rejected or rolled back and are remembered.
const MAX_ENDED: usize = 8;

/// The bundles that arrived over the air.
#[derive(Clone, Debug)]
pub struct ReceivedBundles {
    folder: PathBuf,
    /// `bundle.path` of the configuration.
    configured: PathBuf,
}

impl ReceivedBundles {
    /// Those of a boat with this configuration.
    pub fn of(config: &Config) -> Self {
        Self::new(&config.outbox.path, &config.bundle.path)
    }

    /// Those in the folder `outbox`, of a boat whose configuration names the bundle `configured`.
    pub fn new(outbox: &Path, configured: &Path) -> Self {
        Self {
            folder: outbox.join(FOLDER),
            configured: configured.to_owned(),
        }
    }

    /// The folder of what is being received.
    pub fn delivery_folder(&self) -> PathBuf {
        self.folder.join("delivery")
    }

    /// The folder of a bundle.
    pub fn folder_of(&self, bundle: &ReceivedBundle) -> PathBuf {
        self.folder.join(bundle.manifest.to_string())
    }

    /// The bundle of the configuration.
    pub fn configured(&self) -> &Path {
        &self.configured
    }

    /// Path of the bundle to use. Where the note is damaged, a warning is logged.
    pub fn path_in_use(&self) -> PathBuf {
        match self.in_use() {
            Some(bundle) => self.folder_of(&bundle),
            None => self.configured.clone(),
        }
    }

    /// The received bundle in use; `None` where it is the configuration's.
    pub fn in_use(&self) -> Option<ReceivedBundle> {
        self.valid_note().used
    }

    /// The bundle on trial as one that has been accepted: it was validated when it arrived.
    pub fn on_trial(&self) -> Option<AcceptedBundle> {
        let note = self.valid_note();
        note.trial?;
        let used = note.used?;
        Some(AcceptedBundle {
            manifest_sha256: used.manifest.to_string(),
            version: used.version?,
        })
    }

    /// Whether the bundle in use is on trial.
    pub fn is_on_trial(&self) -> bool {
        self.valid_note().trial.is_some()
    }

    /// How far an offer is, as far as the note says: it is in use, on trial, or has ended.
    pub fn progress(&self, offer: &BundleOffer) -> Option<TransferProgress> {
        let note = self.valid_note();
        if let Some(ended) = note.ended.iter().find(|ended| ended.offer == offer.id) {
            return Some(ended.progress());
        }
        let is_used = match &note.used {
            Some(used) => used.manifest == offer.manifest,
            None => self.configured_manifest().as_deref() == Some(&*offer.manifest.to_string()),
        };
        is_used.then_some(if note.trial.is_some() {
            TransferProgress::OnTrial
        } else {
            TransferProgress::Active
        })
    }

    /// Uses `bundle` from the next session on, on trial. It is complete in its folder.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn install(&self, bundle: ReceivedBundle) -> Result<(), NoteError> {
        let note = self.valid_note();
        // Return to one that has worked.
        let is_proven = note.trial.is_none();
        self.note_file().write(&Note {
            previous: if is_proven { note.used } else { note.previous },
            used: Some(bundle),
            instead_of: self.configured_manifest(),
            trial: Some(0),
            ended: note.ended,
        })
    }

    /// Counts a start of the program while a bundle is on trial. Returns how many earlier ones did not end
    /// in order.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn begin_start(&self) -> Result<u32, NoteError> {
        let mut note = self.valid_note();
        let Some(earlier) = note.trial else {
            return Ok(0);
        };
        note.trial = Some(earlier.saturating_add(1));
        self.note_file().write(&note)?;
        Ok(earlier)
    }

    /// The program ends in order: this start does not count against a bundle on trial.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn end_in_order(&self) -> Result<(), NoteError> {
        let mut note = self.valid_note();
        if note.trial.is_none_or(|starts| starts == 0) {
            return Ok(());
        }
        note.trial = Some(0);
        self.note_file().write(&note)
    }

    /// The bundle on trial has worked. Deletes the bundles that are not needed any more.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn pass_trial(&self) -> Result<(), NoteError> {
        let mut note = self.valid_note();
        if note.trial.take().is_none() {
            return Ok(());
        }
        self.note_file().write(&note)?;
        self.prune(&note);
        Ok(())
    }

    /// Returns to the bundle before the received one in use, for `reason`. Returns whether there was one.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn roll_back(&self, reason: &str) -> Result<bool, NoteError> {
        let mut note = self.valid_note();
        let Some(failed) = note.used.take() else {
            return Ok(false);
        };
        // Once only: a chain of damaged bundles ends at that of the configuration.
        note.used = note.previous.take();
        note.trial = None;
        note.end(EndedOffer::rolled_back(failed.offer, reason));
        self.note_file().write(&note)?;
        let folder = self.folder_of(&failed);
        report_failure(&folder, fs::remove_dir_all(&folder));
        Ok(true)
    }

    /// Remembers that an offer was rejected, for `reason`.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn reject(&self, offer: Uuid, reason: &str) -> Result<(), NoteError> {
        let mut note = self.valid_note();
        note.end(EndedOffer::rejected(offer, reason));
        self.note_file().write(&note)
    }

    fn note_file(&self) -> BoundedNote {
        note_file(&self.folder)
    }

    /// The note, without what does not hold any more.
    fn valid_note(&self) -> Note {
        let note = match self.note_file().read::<Note>() {
            Ok(note) => note.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "cannot read which received bundle is in use; using the newest");
                Note {
                    used: self.newest(),
                    instead_of: self.configured_manifest(),
                    ..Note::default()
                }
            }
        };
        let is_replaced = note.used.is_some() && note.instead_of != self.configured_manifest();
        if is_replaced {
            // Another bundle was put on board.
            return Note {
                ended: note.ended,
                ..Note::default()
            };
        }
        note
    }

    /// The SHA-256 of the manifest of the configuration's bundle; `None` where it cannot be read.
    fn configured_manifest(&self) -> Option<String> {
        let head = BundleHead::read(&self.configured).ok()?;
        Some(head.manifest_sha256())
    }

    /// The bundle with the highest version, if that is higher than the configuration's. One that did not work
    /// has been deleted.
    fn newest(&self) -> Option<ReceivedBundle> {
        let version = |path: &Path| {
            BundleHead::read(path)
                .ok()?
                .signature()
                .map(|s| s.version())
        };
        let bundles = self.bundles().into_iter().filter_map(|path| {
            Some(ReceivedBundle {
                manifest: manifest_of(&path)?,
                version: version(&path),
                offer: Uuid::nil(),
            })
        });
        let newest = bundles.max_by_key(|bundle| bundle.version)?;
        (newest.version > version(&self.configured)).then_some(newest)
    }

    /// The folders of all bundles.
    fn bundles(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return vec![];
        };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| manifest_of(path).is_some()).collect()
    }

    /// Deletes the bundles that are neither in use nor to be returned to.
    fn prune(&self, note: &Note) {
        let kept: Vec<PathBuf> = [&note.used, &note.previous]
            .into_iter()
            .flatten()
            .map(|bundle| self.folder_of(bundle))
            .collect();
        for path in self.bundles() {
            if !kept.contains(&path) {
                report_failure(&path, fs::remove_dir_all(&path));
            }
        }
    }
}

/// The manifest by which a bundle's folder is named.
fn manifest_of(folder: &Path) -> Option<ContentId> {
    folder.file_name()?.to_str()?.parse().ok()
}

fn report_failure(path: &Path, removed: io::Result<()>) {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(folder = %path.display(), %error, "cannot delete a bundle");
        }
        _ => {
            tracing::debug!(folder = %path.display(), "deleted a bundle that is not used any more")
        }
    }
}

#[cfg(test)]
mod tests;
