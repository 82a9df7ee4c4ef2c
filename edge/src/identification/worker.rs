//! Identifies one recording after the other.

use super::identity::Identity;
use super::wake::Wake;
use super::whale_identifier::Identify;
use crate::cancellation::CancellationToken;
use crate::health::Counters;
use crate::outbox::{OpenRecording, OutboxError, Recordings};
use crate::recording::Recording;
use crate::stage::{Panicked, Stage};
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::sighting::Sighting;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// How often an encounter is tried before it stays unidentified.
pub const MAX_ATTEMPTS: u32 = 3;
/// The longest time between two looks into the outbox.
const IDLE_AFTER: Duration = Duration::from_millis(500);
/// The pause after the outbox failed.
const OUTBOX_PAUSE: Duration = Duration::from_secs(2);
/// The longest reason of an unidentified encounter, in bytes.
const MAX_REASON: usize = 250;

/// What a worker shares with the rest of the boat.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) stage: Arc<Stage>,
    pub(super) counters: Arc<Counters>,
    /// Notified of every verdict.
    pub(super) accepted: Arc<Notify>,
    /// Signals recordings.
    pub(super) recorded: Arc<Wake>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is to be identified.
    Idle,
    /// An encounter was tried.
    Tried,
}

/// Identifies the recordings of an outbox.
pub(super) struct Worker {
    recordings: Recordings,
    identify: Box<dyn Identify>,
    shared: Shared,
    /// The sighting whose last attempt ended, but whose verdict the outbox did not take: another attempt
    /// is not counted, or an outbox that fails for a moment would leave it unidentified.
    unsaved: Option<Uuid>,
}

impl Worker {
    pub(super) fn new(recordings: Recordings, identify: Box<dyn Identify>, shared: Shared) -> Self {
        Self {
            recordings,
            identify,
            shared,
            unsaved: None,
        }
    }

    /// Runs until it is cancelled.
    ///
    /// # Errors
    /// When the identification panics; it must not be used any more.
    pub(super) fn run(mut self, stop: &CancellationToken) -> Result<(), Panicked> {
        let mut failing = false;
        while !stop.is_cancelled() {
            match self.step()? {
                Ok(Step::Tried) => failing = false,
                Ok(Step::Idle) => self.shared.recorded.wait(IDLE_AFTER),
                Err(error) => {
                    // The first in a row; the monitor reports an outbox that fails.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot identify: the outbox failed; retrying");
                        self.shared.stage.failed(&error);
                    }
                    self.shared.recorded.wait(OUTBOX_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Tries the next recording.
    ///
    /// # Errors
    /// When the identification panics; inside, when the outbox fails.
    pub(super) fn step(&mut self) -> Result<Result<Step, OutboxError>, Panicked> {
        let loaded = match self.load_next() {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(Ok(Step::Idle)),
            Err(error) => return Ok(Err(error)),
        };
        let Loaded { open, recording } = loaded;
        let recording = match recording {
            Ok(recording) => recording,
            Err(reason) => return Ok(self.give_up(open, &reason)),
        };
        let Self {
            identify, shared, ..
        } = self;
        let identity = shared
            .stage
            .work(|| identify.identify(&recording))
            .inspect_err(|panicked| {
                let id = open.sighting;
                tracing::error!(%id, %panicked, "identification panicked");
            })?;
        Ok(match identity {
            Ok(identity) => {
                let id = open.sighting;
                let concluded = self.conclude(open, &recording, &identity);
                self.unsaved = concluded.is_err().then_some(id);
                concluded
            }
            Err(error) => {
                self.shared.stage.failed(&error);
                if open.attempts + 1 < MAX_ATTEMPTS {
                    tracing::warn!(id = %open.sighting, %error, "cannot identify encounter; trying again");
                    Ok(Step::Tried)
                } else {
                    self.give_up(open, &error.to_string())
                }
            }
        })
    }

    /// The next recording, whose attempt is counted; inside, why it cannot be identified.
    fn load_next(&mut self) -> Result<Option<Loaded>, OutboxError> {
        let Some(open) = self.recordings.next()? else {
            return Ok(None);
        };
        if self.unsaved != Some(open.sighting) {
            if open.attempts >= MAX_ATTEMPTS {
                let reason = format!("{MAX_ATTEMPTS} attempts to identify it did not end");
                let recording = Err(reason);
                return Ok(Some(Loaded { open, recording }));
            }
            self.recordings.begin(open.sighting)?;
        }
        let recording = self.recordings.load(open.sighting)?;
        let recording = recording.map_err(|error| error.to_string());
        Ok(Some(Loaded { open, recording }))
    }

    fn conclude(
        &mut self,
        open: OpenRecording,
        recording: &Recording,
        identity: &Identity,
    ) -> Result<Step, OutboxError> {
        let revised = self
            .recordings
            .conclude(open.sighting, false, |sighting| identity.apply(sighting))?;
        if let Some(sighting) = revised {
            self.identify.remember(recording, identity);
            let delay = self.shared.stage.now().since(recording.track.ended);
            log_verdict(&sighting, delay);
            self.shared.counters.identified();
        }
        self.shared.accepted.notify_one();
        Ok(Step::Tried)
    }

    /// Leaves an encounter unidentified.
    fn give_up(&mut self, open: OpenRecording, reason: &str) -> Result<Step, OutboxError> {
        let id = open.sighting;
        tracing::error!(%id, reason, "encounter stays unidentified");
        self.recordings.conclude(id, false, |sighting| {
            unidentified(sighting, reason);
        })?;
        self.shared.counters.failed_encounter();
        self.shared.accepted.notify_one();
        Ok(Step::Tried)
    }
}

/// A recording that is to be identified, or why it cannot be.
struct Loaded {
    open: OpenRecording,
    recording: Result<Recording, String>,
}

/// Takes back whatever identity `sighting` has.
fn unidentified(sighting: &mut Sighting, reason: &str) {
    let mut reason = reason.to_owned();
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    sighting.verdict = Verdict::Unidentified { reason };
    sighting.candidates.clear();
    sighting.probability = None;
    sighting.embedding = CompactEmbedding::NONE;
    sighting.regions = None;
}

/// Logs a verdict, `delay` after the last frame with the fluke.
fn log_verdict(sighting: &Sighting, delay: Duration) {
    let score = sighting.candidates.first().map_or(0.0, |c| c.score);
    let continued = sighting
        .footage
        .as_ref()
        .map(|f| f.encounter)
        .filter(|encounter| *encounter != sighting.id);
    let continues = continued.map(tracing::field::display);
    let (verdict, whale) = match &sighting.verdict {
        Verdict::Known { whale } => ("known", whale.as_str()),
        Verdict::New => ("new", ""),
        Verdict::Review => ("review", ""),
        Verdict::Unidentified { .. } => ("unidentified", ""),
    };
    let delay_ms = delay.as_millis();
    let (sequence, revision) = (sighting.sequence, sighting.revision);
    tracing::info!(sequence, revision, id = %sighting.id, verdict, whale, score, delay_ms, continues, "encounter identified");
}
