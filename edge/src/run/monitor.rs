//! Who looks at the boat while others work: keeps `health.json` and the page fresh, tells the service manager, and feeds its watchdog.

use super::inputs::Inputs;
use crate::condition;
use crate::config::Config;
use crate::health::{Health, OutboxHealth};
use crate::machine::{Level, MachineWatch};
use crate::outbox::{ArchiveLimits, OutboxError, Queue};
use crate::service::{Aboard, Proof, Signs, Verdict, WatchSign, Watchdog};
use flukewatch_common::engine::status::EngineStatus;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often `health.json` is written.
const EVERY: Duration = Duration::from_secs(10);
/// How often the page's document is made anew while somebody looks at it.
const EVERY_FOR_PAGE: Duration = Duration::from_secs(2);
/// Somebody who has not asked for so long looks no more.
const PAGE_IS_LEFT: Duration = Duration::from_secs(30);
/// How often the outbox must show that it commits.
const PROVE: Duration = Duration::from_secs(30);
/// How often the archive is pruned.
const PRUNE: Duration = Duration::from_secs(600);

/// Looks at the boat. What fails here is said in the log and stops nothing.
pub(super) struct Monitor {
    queue: Queue,
    inputs: Inputs,
    bundle: String,
    engine: Arc<EngineStatus>,
    file: PathBuf,
    machine: MachineWatch,
    archive: Option<ArchiveLimits>,
    aboard: Aboard,
    watchdog: Watchdog,
    proof: Proof,
    trouble: Option<String>,
    /// Why the watchdog is not fed, where it is not.
    ill: Option<String>,
    saved: Option<Instant>,
    posted: Option<Instant>,
    proved: Option<Instant>,
    fed: Option<Instant>,
    pruned: Option<Instant>,
}

/// Whether `every` has passed since `last`; then it begins anew.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl Monitor {
    /// Looks at a boat that works as `config` says.
    pub(super) fn new(
        config: &Config,
        queue: Queue,
        inputs: Inputs,
        bundle: String,
        engine: Arc<EngineStatus>,
        aboard: Aboard,
    ) -> Self {
        let section = &config.machine;
        aboard.bulletin.moves(config.outbox.path.clone());
        Self {
            queue,
            watchdog: Watchdog::new(inputs.steady.clone()),
            inputs,
            bundle,
            engine,
            file: config.outbox.path.join("health.json"),
            machine: MachineWatch::new(
                section.sensors.clone(),
                config.outbox.path.clone(),
                section.thermal(),
                section.disk(),
            ),
            archive: config.archive.limits(),
            aboard,
            proof: Proof::Committed,
            trouble: None,
            ill: None,
            saved: None,
            posted: None,
            proved: None,
            fed: None,
            pruned: None,
        }
    }

    /// Tells the log that the boat watches `what`.
    pub(super) fn tell_start(&mut self, what: &str) {
        tracing::info!(
            boat = %self.queue.boat(),
            bundle = self.bundle,
            engine = self.engine.active(),
            accelerator = %self.engine.accelerator(),
            "watching {what}"
        );
    }

    /// The document of this moment.
    pub(super) fn health(&mut self) -> Result<Health, OutboxError> {
        let waiting = self.queue.counts()?;
        let backlog = self.queue.backlog()?;
        let boat = self.queue.boat().as_str();
        let now = self.inputs.keeper.now();
        let mut inputs = self.inputs.health();
        let waited = |oldest| u64::try_from(now.millis_since(oldest) / 1000).unwrap_or(0);
        inputs.outbox = OutboxHealth {
            bytes: backlog.bytes,
            oldest_seconds: backlog.oldest.map(waited),
            under_way: 0,
            archived: backlog.archived,
            archived_bytes: backlog.archived_bytes,
            trouble: self.trouble.clone(),
        };
        inputs.machine = self.machine.look();
        inputs.uptime = self.aboard.started.elapsed();
        Ok(self
            .aboard
            .counters
            .health(boat, &self.bundle, &self.engine, waiting, now, inputs))
    }

    /// Looks at everything that is due.
    pub(super) fn look(&mut self) {
        self.inputs.keeper.look();
        self.feed_when_due();
        if due(&mut self.saved, EVERY) {
            self.posted = Some(Instant::now());
            match self.health() {
                Ok(health) => {
                    self.save(&health);
                    self.aboard.systemd.status(&condition::status(&health));
                    self.prune_when_due(&health);
                    self.aboard.bulletin.post(health);
                }
                Err(e) => tracing::warn!("the outbox cannot be looked at: {e}"),
            }
        } else if self.aboard.bulletin.asked_within(PAGE_IS_LEFT)
            && due(&mut self.posted, EVERY_FOR_PAGE)
            && let Ok(health) = self.health()
        {
            self.aboard.bulletin.post(health);
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

    /// Lets the outbox prove that it commits, and feeds the watchdog where all is well.
    fn feed_when_due(&mut self) {
        let patience = self.aboard.systemd.watchdog();
        let every = patience.map_or(PROVE, |p| p / 4);
        if due(&mut self.proved, PROVE.min(every)) {
            self.prove();
        }
        if !due(&mut self.fed, every) {
            return;
        }
        let pulse = &self.aboard.pulse;
        let signs = Signs {
            watch: WatchSign {
                steps: pulse.steps(),
                waiting: pulse.is_waiting(),
                resting: pulse.is_resting(),
            },
            cameras: self.inputs.live_steps(),
            proof: self.proof,
            in_memory: self.aboard.counters.in_memory(),
        };
        match self.watchdog.judge(&signs) {
            Verdict::Well => {
                if self.ill.take().is_some() {
                    tracing::info!("the boat works again as it should");
                }
                self.aboard.systemd.feed();
            }
            Verdict::Ill(why) => {
                if self.ill.is_none() {
                    let then = if patience.is_some() {
                        ". systemd will restart the program"
                    } else {
                        ""
                    };
                    tracing::error!("the boat does not work as it should: {why}{then}");
                }
                self.ill = Some(why);
            }
        }
    }

    fn prove(&mut self) {
        let (proof, trouble) = match self.queue.prove() {
            Ok(()) => (Proof::Committed, None),
            Err(e @ OutboxError::Full { .. }) => (Proof::Full, Some(e.to_string())),
            Err(e) => (Proof::Failed, Some(e.to_string())),
        };
        match (&self.trouble, &trouble) {
            (None, Some(e)) => tracing::error!("the outbox takes no commits: {e}"),
            (Some(_), None) => tracing::info!("the outbox takes commits again"),
            _ => {}
        }
        self.proof = proof;
        self.trouble = trouble;
    }

    fn prune_when_due(&mut self, health: &Health) {
        let full = health.machine.disk.is_some_and(|d| d.level == Level::Fault);
        let due = due(&mut self.pruned, PRUNE);
        if !due && (!full || health.outbox.archived == 0) {
            return;
        }
        let nothing = ArchiveLimits {
            longest: Duration::ZERO,
            max_bytes: 0,
        };
        let limits = self.archive.filter(|_| !full).unwrap_or(nothing);
        match self.queue.prune(limits, self.inputs.keeper.now()) {
            Ok(0) => {}
            Ok(sightings) => tracing::info!(
                sightings,
                "deleted from the archive, as its limits say; shore has them"
            ),
            Err(e) => tracing::warn!("the archive cannot be pruned: {e}"),
        }
    }
}
