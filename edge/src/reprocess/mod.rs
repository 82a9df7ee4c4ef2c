//! Identifies recorded encounters again, e.g. with a newer bundle, and searches clips for flukes that were not recorded, e.g. with a
//! newer detector.

mod again;
mod clip_search;
mod clips;
mod missed;

pub use clips::reprocess_clips;

use crate::clip::ClipError;
use crate::config::Config;
use crate::models::{ModelsError, open_identifier};
use crate::outbox::{OutboxError, Recordings};
use crate::session::SessionError;
use again::Again;
use flukewatch_common::clock::Timestamp;
use flukewatch_inference::engine::plan_queue::PlanQueue;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use uuid::Uuid;

/// Which encounters are identified again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReprocessOptions {
    /// Only those that began at this time or later.
    pub since: Option<Timestamp>,
    /// Also those that the bundle has identified.
    pub all: bool,
    /// Queues nothing.
    pub dry_run: bool,
}

/// Recordings that cannot be identified again.
#[derive(Debug, thiserror::Error)]
pub enum ReprocessError {
    /// The bundle cannot be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The outbox cannot be opened to record.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The clips cannot be read.
    #[error(transparent)]
    Clips(#[from] ClipError),
    /// The bundle cannot search frames.
    #[error("the bundle {} has no detector, or [detector] enabled is false: clips cannot be searched", .0.display())]
    NoDetector(PathBuf),
}

/// An encounter that was identified again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reprocessed {
    /// The id of its sighting; null where it is not recorded.
    pub sighting: Option<Uuid>,
    /// Its number on the boat.
    pub sequence: Option<u64>,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// The video that it was missed in.
    pub clip: Option<String>,
    /// The verdict before.
    pub before: String,
    /// The verdict by this bundle; null where there is none.
    pub after: Option<String>,
    /// Whether a revision was queued.
    pub queued: bool,
    /// Why it cannot be identified.
    pub error: Option<String>,
}

impl Reprocessed {
    /// Whether the verdict is another one.
    pub fn is_changed(&self) -> bool {
        self.after
            .as_ref()
            .is_some_and(|after| *after != self.before)
    }
}

impl fmt::Display for Reprocessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            started,
            clip,
            before,
            after,
            error,
            ..
        } = self;
        match (sequence, clip) {
            (Some(sequence), _) => write!(f, "{sequence:>6}  {started}  {before}")?,
            (None, clip) => write!(
                f,
                "     -  {started}  {}",
                clip.as_deref().unwrap_or(before)
            )?,
        }
        match (after, error) {
            (Some(after), _) if self.is_changed() => write!(f, " -> {after}"),
            (_, Some(error)) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

/// Identifies the recorded encounters in the outbox of `config` with its bundle, oldest first, also while
/// a boat works with both. Where that changes a sighting, its next revision is queued. Each result is
/// given to `done`.
///
/// # Errors
/// When the bundle or the outbox cannot be used; then some encounters may be done.
pub fn reprocess(
    config: &Config,
    options: &ReprocessOptions,
    mut done: impl FnMut(Reprocessed),
) -> Result<(), ReprocessError> {
    let recordings = Recordings::open(&config.outbox.path)?;
    let identifier = open_identifier(config, &PlanQueue::default())?;
    let bundle = identifier.bundle().to_owned();
    let mut again = Again::new(config, recordings, identifier, options);
    for id in again.recordings.all()? {
        let Some(before) = again.recordings.newest(id)? else {
            continue;
        };
        let too_early = options.since.is_some_and(|since| before.started < since);
        if too_early || before.bundle == bundle && !options.all {
            continue;
        }
        done(again.identify(&before)?);
    }
    Ok(())
}
