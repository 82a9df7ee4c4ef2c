//! Identifies recorded encounters again, e.g. with a newer bundle.

use crate::config::Config;
use crate::identification::{Identify, RecentEncounters, WhaleIdentifier};
use crate::models::{ModelsError, open_identifier};
use crate::outbox::{OutboxError, Recordings};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use flukewatch_inference::engine::plan_queue::PlanQueue;
use serde::Serialize;
use std::fmt;
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
}

/// An encounter that was identified again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reprocessed {
    /// The id of its sighting.
    pub sighting: Uuid,
    /// Its number on the boat.
    pub sequence: u64,
    /// When it began, RFC 3339 UTC.
    pub started: String,
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
            before,
            after,
            error,
            ..
        } = self;
        write!(f, "{sequence:>6}  {started}  {before}")?;
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
    let mut recordings = Recordings::open(&config.outbox.path)?;
    let identifier = open_identifier(config, &PlanQueue::default())?;
    let bundle = identifier.bundle().to_owned();
    let recent = RecentEncounters::new(config.encounter.return_within());
    let mut identify = WhaleIdentifier::new(identifier, recent);
    for id in recordings.all()? {
        let Some(before) = recordings.newest(id)? else {
            continue;
        };
        let too_early = options.since.is_some_and(|since| before.started < since);
        if too_early || before.bundle == bundle && !options.all {
            continue;
        }
        done(one(&mut recordings, &mut identify, &before, options)?);
    }
    Ok(())
}

fn one(
    recordings: &mut Recordings,
    identify: &mut WhaleIdentifier,
    before: &Sighting,
    options: &ReprocessOptions,
) -> Result<Reprocessed, OutboxError> {
    let mut result = Reprocessed {
        sighting: before.id,
        sequence: before.sequence,
        started: before.started.to_string(),
        before: words(&before.verdict),
        after: None,
        queued: false,
        error: None,
    };
    let identified = match recordings.load(before.id)? {
        Ok(recording) => identify
            .identify(&recording)
            .map(|identity| (recording, identity))
            .map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match identified {
        Ok((recording, identity)) => {
            let mut after = before.clone();
            identity.apply(&mut after);
            identify.remember(&recording, &identity);
            result.after = Some(words(&after.verdict));
            if after != *before && !options.dry_run {
                let revised = recordings.conclude(before.id, true, |s| identity.apply(s))?;
                result.queued = revised.is_some();
            }
        }
        Err(error) => result.error = Some(error),
    }
    Ok(result)
}

/// A verdict in words.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Known { whale } => format!("known {whale}"),
        Verdict::New => "new".into(),
        Verdict::Review => "review".into(),
        Verdict::Unidentified { reason } => format!("unidentified ({reason})"),
    }
}
