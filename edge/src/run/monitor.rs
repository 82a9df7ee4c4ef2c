//! Who looks at the outbox while others work, and keeps `health.json` fresh.

use super::inputs::Inputs;
use crate::health::{Counters, Health};
use crate::outbox::{OutboxError, Queue};
use flukewatch_common::engine::status::EngineStatus;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often `health.json` is written.
const EVERY: Duration = Duration::from_secs(10);

/// Looks at the outbox and writes the health document. What fails here is said in the log and stops nothing.
pub(super) struct Monitor {
    pub(super) queue: Queue,
    pub(super) counters: Arc<Counters>,
    pub(super) inputs: Inputs,
    pub(super) bundle: String,
    pub(super) engine: Arc<EngineStatus>,
    pub(super) file: PathBuf,
    pub(super) saved: Option<Instant>,
}

impl Monitor {
    /// The document of this moment.
    pub(super) fn health(&self) -> Result<Health, OutboxError> {
        let waiting = self.queue.counts()?;
        let boat = self.queue.boat().as_str();
        let (now, inputs) = (self.inputs.keeper.now(), self.inputs.health());
        Ok(self
            .counters
            .health(boat, &self.bundle, &self.engine, waiting, now, inputs))
    }

    /// Looks at the clock, and writes `health.json` where it is older than [`EVERY`].
    pub(super) fn save_when_due(&mut self) {
        self.inputs.keeper.look();
        if self.saved.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.saved = Some(Instant::now());
        match self.health() {
            Ok(health) => self.save(&health),
            Err(e) => tracing::warn!("the outbox cannot be looked at: {e}"),
        }
    }

    /// Writes `health.json`.
    pub(super) fn save(&self, health: &Health) {
        if let Err(e) = health.write(&self.file) {
            tracing::warn!("{} cannot be written: {e}", self.file.display());
        }
    }

    /// Whether nothing waits for a receipt any more.
    pub(super) fn delivered(&self) -> bool {
        self.queue.counts().is_ok_and(|c| c.queued() == 0)
    }
}
