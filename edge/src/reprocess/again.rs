//! Identifies a recorded encounter again.

use super::{ReprocessOptions, Reprocessed};
use crate::config::Config;
use crate::identification::{Identifier, Identify, RecentEncounters, WhaleIdentifier};
use crate::outbox::{OutboxError, Recordings};
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;

/// What identifies encounters again.
pub(super) struct Again {
    pub(super) recordings: Recordings,
    identify: WhaleIdentifier,
    dry_run: bool,
}

impl Again {
    pub(super) fn new(
        config: &Config,
        recordings: Recordings,
        identifier: Identifier,
        options: &ReprocessOptions,
    ) -> Self {
        let recent = RecentEncounters::new(config.encounter.return_within());
        Self {
            recordings,
            identify: WhaleIdentifier::new(identifier, recent),
            dry_run: options.dry_run,
        }
    }

    /// Identifies the recorded encounter whose newest revision is `before`.
    pub(super) fn identify(&mut self, before: &Sighting) -> Result<Reprocessed, OutboxError> {
        let mut result = Reprocessed {
            sighting: Some(before.id),
            sequence: Some(before.sequence),
            started: before.started.to_string(),
            clip: None,
            before: words(&before.verdict),
            after: None,
            queued: false,
            error: None,
        };
        let identified = match self.recordings.load(before.id)? {
            Ok(recording) => self
                .identify
                .identify(&recording)
                .map(|identity| (recording, identity))
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match identified {
            Ok((recording, identity)) => {
                let mut after = before.clone();
                identity.apply(&mut after);
                self.identify.remember(&recording, &identity);
                result.after = Some(words(&after.verdict));
                if after != *before && !self.dry_run {
                    let revised = self
                        .recordings
                        .conclude(before.id, true, |s| identity.apply(s))?;
                    result.queued = revised.is_some();
                }
            }
            Err(error) => result.error = Some(error),
        }
        Ok(result)
    }
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
