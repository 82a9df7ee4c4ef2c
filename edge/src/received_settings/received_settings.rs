//! The settings that came from shore.

use super::note::{Ended, Note, UsedSettings};
use crate::bounded_note::{BoundedNote, NoteError};
use crate::config::Config;
use crate::health::{Counters, SettingsHealth};
use flukewatch_common::boat_settings::{
    BoatSettings, MAX_SETTINGS_REASON_BYTES, Setting, SettingsProgress, SettingsReport,
};
use flukewatch_common::bounded_text::one_line;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file in the outbox's folder.
const NAME: &str = "settings.json";
/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 16 * 1024;
/// Why settings are rejected where they are not permitted.
const FORBIDDEN: &str =
    "the boat's configuration does not permit settings from shore (settings.over_the_air)";

/// Taken by who changes the note: the thread that receives, and the one that supervises a session.
static CHANGES: Mutex<()> = Mutex::new(());

/// The settings that came from shore.
#[derive(Clone, Debug)]
pub struct ReceivedSettings {
    note: BoundedNote,
    permitted: bool,
}

/// What has become of settings that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They were known already.
    Known,
    /// They are used from the next session on.
    Accepted,
    /// They are not used, for this reason.
    Rejected(String),
}

impl ReceivedSettings {
    /// Those of a boat with this configuration.
    pub fn of(config: &Config) -> Self {
        Self::new(&config.outbox.path, config.permits_settings())
    }

    /// Those in the folder `outbox`, of a boat that may use them or not.
    fn new(outbox: &Path, permitted: bool) -> Self {
        Self {
            note: BoundedNote::new(outbox.join(NAME), MAX_BYTES),
            permitted,
        }
    }

    /// The revision in use and its settings, by key; 0 for the values of the file. Where the note is damaged, a
    /// warning is logged.
    pub fn in_use(&self) -> (u64, Vec<Setting>) {
        let note = self.read();
        let used = self.used(&note);
        used.map_or((0, vec![]), |used| (used.revision, used.settings()))
    }

    /// Whether the settings of `revision` are in use and on trial.
    pub fn is_on_trial(&self, revision: u64) -> bool {
        let note = self.read();
        self.uses(&note, revision) && note.trial.is_some()
    }

    /// What has become of them; `None` where none has arrived.
    pub fn health(&self) -> Option<SettingsHealth> {
        let note = self.read();
        if note.revision == 0 {
            return None;
        }
        let used = self.used(&note);
        let (progress, reason) = match &note.ended {
            Some(ended) => ended.progress(),
            None if used.is_none() && note.used.is_some() => {
                (SettingsProgress::Rejected, FORBIDDEN.to_owned())
            }
            None if note.trial.is_some() => (SettingsProgress::OnTrial, String::new()),
            None => (SettingsProgress::Active, String::new()),
        };
        Some(SettingsHealth {
            report: SettingsReport {
                revision: note.revision,
                in_use: used.map_or(0, |used| used.revision),
                progress,
                reason,
            },
            values: used.map(|used| used.values.clone()).unwrap_or_default(),
        })
    }

    /// Puts what has become of them into the health document.
    pub fn publish(&self, counters: &Counters) {
        // What another thread has published meanwhile is newer.
        let _changing = changing();
        counters.set_settings(self.health());
    }

    /// Takes settings for this boat. A value that is invalid rejects all of them.
    pub(super) fn receive(&self, settings: &BoatSettings) -> Result<Taken, NoteError> {
        let _changing = changing();
        let note = self.read();
        if settings.revision <= note.revision {
            return Ok(Taken::Known);
        }
        let valid = settings.validate().map_err(|invalid| invalid.to_string());
        let valid = if self.permitted {
            valid
        } else {
            Err(FORBIDDEN.to_owned())
        };
        let values = match valid {
            Ok(values) => values,
            Err(reason) => {
                let reason = one_line(&reason, MAX_SETTINGS_REASON_BYTES);
                self.note.write(&Note {
                    revision: settings.revision,
                    ended: Some(Ended::rejected(&reason)),
                    ..note
                })?;
                return Ok(Taken::Rejected(reason));
            }
        };
        // Return to some that have worked.
        let is_proven = note.trial.is_none();
        self.note.write(&Note {
            revision: settings.revision,
            previous: if is_proven { note.used } else { note.previous },
            used: Some(UsedSettings::new(settings, &values)),
            trial: Some(0),
            ended: None,
        })?;
        Ok(Taken::Accepted)
    }

    /// Counts a start of the program while settings are on trial. Returns how many earlier ones did not end in
    /// order.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn begin_start(&self) -> Result<u32, NoteError> {
        let _changing = changing();
        let mut note = self.read();
        let Some(earlier) = note.trial.filter(|_| self.permitted) else {
            return Ok(0);
        };
        note.trial = Some(earlier.saturating_add(1));
        self.note.write(&note)?;
        Ok(earlier)
    }

    /// The program ends in order: this start does not count against settings on trial.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn end_in_order(&self) -> Result<(), NoteError> {
        let _changing = changing();
        let mut note = self.read();
        if note.trial.is_none_or(|starts| starts == 0) {
            return Ok(());
        }
        note.trial = Some(0);
        self.note.write(&note)
    }

    /// The settings of `revision` have worked.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn pass_trial(&self, revision: u64) -> Result<(), NoteError> {
        let _changing = changing();
        let mut note = self.read();
        if !self.uses(&note, revision) || note.trial.take().is_none() {
            return Ok(());
        }
        tracing::info!(revision, "settings from shore work; trial passed");
        self.note.write(&note)
    }

    /// Returns to the settings before those of `revision`, for `reason`, if they are on trial. Returns whether
    /// they were.
    pub fn roll_back(&self, revision: u64, reason: &str) -> bool {
        let _changing = changing();
        let mut note = self.read();
        if !self.uses(&note, revision) || note.trial.take().is_none() {
            return false;
        }
        // Once only: a chain of them ends at the values of the file.
        note.used = note.previous.take();
        if note.revision == revision {
            note.ended = Some(Ended::rolled_back(reason));
        }
        if let Err(error) = self.note.write(&note) {
            tracing::error!(%error, "cannot return to the settings before");
            return false;
        }
        tracing::error!(revision, reason, "settings from shore rolled back");
        true
    }

    /// What is used of the note.
    fn used<'a>(&self, note: &'a Note) -> Option<&'a UsedSettings> {
        note.used.as_ref().filter(|_| self.permitted)
    }

    fn uses(&self, note: &Note, revision: u64) -> bool {
        let used = self.used(note);
        used.is_some_and(|used| used.revision == revision)
    }

    fn read(&self) -> Note {
        let read = self.note.read::<Note>();
        read.map(Option::unwrap_or_default).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the settings from shore; using the file's values");
            Note::default()
        })
    }
}

fn changing() -> MutexGuard<'static, ()> {
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
