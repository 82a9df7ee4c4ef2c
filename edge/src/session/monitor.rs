//! Watches a running session: writes `health.json`, refreshes the page, notifies systemd, pings its
//! watchdog, corrects the times of sightings, prunes the archive.

use super::clock_run::clock_run;
use super::inputs::Inputs;
use super::time_correction::TimeCorrection;
use super::watchdog::{Liveness, PerceptionSteps, Vitals, Watchdog, WriteProbe};
use crate::app_state::AppState;
use crate::bundle_trust::VerifiedSignature;
use crate::clip::{ClipFolder, ClipLimits};
use crate::config::Config;
use crate::health::{Health, HealthSources, OutboxHealth, SignatureHealth, UnrecordedHealth};
use crate::levels::Levels;
use crate::link_budget::{LinkHealth, LinkWatch};
use crate::machine::{MachineMonitor, Severity};
use crate::outbox::{self, ArchiveLimits, OutboxError, Queue, RecordingLimits};
use crate::status;
use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::clock::{Clock, Timestamp};
use flukewatch_inference::engine::status::EngineStatus;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often `health.json` is written.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the page's document is refreshed while the page is open.
const PAGE_INTERVAL: Duration = Duration::from_secs(2);
/// The page counts as closed after this long without a request.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time between two write probes of the outbox.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// Shore learns of an encounter that is not identified this long after it was recorded, in milliseconds.
const MAX_HELD: i64 = 60_000;
/// How often archive, recordings and clips are pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// The same while the disk is nearly full.
const PRUNE_INTERVAL_ON_FULL_DISK: Duration = Duration::from_secs(30);

/// The parts of a session that are monitored.
pub(super) struct Subject {
    pub(super) queue: Queue,
    /// The outbox's clock.
    pub(super) outbox_clock: Arc<dyn Clock>,
    pub(super) inputs: Inputs,
    /// Class and budget of the link to shore.
    pub(super) link: LinkWatch,
    pub(super) bundle: String,
    /// The bundle's signature; `None` where every bundle is used.
    pub(super) signature: Option<VerifiedSignature>,
    /// The embedding network's engine.
    pub(super) engine: Arc<EngineStatus>,
    /// The detector's, where there is one.
    pub(super) detector: Option<Arc<EngineStatus>>,
}

impl Subject {
    fn signature(&self, now: Timestamp) -> Option<SignatureHealth> {
        let signature = self.signature.as_ref()?.signature();
        Some(SignatureHealth::new(signature, now))
    }
}

/// Polled by the session. Its own failures are logged and end nothing.
pub(super) struct Monitor {
    subject: Subject,
    file: PathBuf,
    machine: MachineMonitor,
    archive: Option<ArchiveLimits>,
    recordings: RecordingLimits,
    clips: (ClipFolder, ClipLimits),
    levels: Levels,
    time_correction: TimeCorrection,
    state: AppState,
    watchdog: Watchdog,
    probe: WriteProbe,
    outbox_error: Option<String>,
    /// Sightings that the outbox had accepted at the last probe.
    accepted: u64,
    /// Why the watchdog is not pinged.
    unhealthy: Option<String>,
    schedule: Schedule,
}

/// When each task was last done.
#[derive(Default)]
struct Schedule {
    saved: Option<Instant>,
    published: Option<Instant>,
    probed: Option<Instant>,
    pinged: Option<Instant>,
    pruned: Option<Instant>,
}

/// Whether `interval` has passed since `last`, which is then set to now.
fn due(last: &mut Option<Instant>, interval: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= interval);
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl Monitor {
    pub(super) fn new(config: &Config, subject: Subject, state: AppState) -> Self {
        let section = &config.machine;
        state.status.set_outbox(config.outbox.path.clone());
        Self {
            watchdog: Watchdog::new(subject.inputs.monotonic.clone()),
            subject,
            file: state
                .runtime_folder
                .as_ref()
                .unwrap_or(&config.outbox.path)
                .join("health.json"),
            machine: MachineMonitor::new(
                section.sensors.clone(),
                config.outbox.path.clone(),
                section.thermal(),
                section.disk(),
            ),
            archive: config.archive.limits(),
            recordings: config.recording.limits(),
            clips: (ClipFolder::of(&config.outbox.path), config.clip.limits()),
            levels: config.levels,
            time_correction: TimeCorrection::default(),
            state,
            probe: WriteProbe::Committed,
            outbox_error: None,
            accepted: 0,
            unhealthy: None,
            schedule: Schedule::default(),
        }
    }

    /// Logs what the session works with.
    pub(super) fn log_start(&self, config: &Config) {
        let cameras: Vec<String> = config
            .cameras
            .iter()
            .map(|c| c.place().to_string())
            .collect();
        let Subject {
            queue,
            inputs,
            bundle,
            engine,
            detector,
            ..
        } = &self.subject;
        let of_detector = detector.as_ref().map(|engine| engine.active());
        tracing::info!(
            boat = %queue.boat(),
            bundle,
            engine = engine.active(),
            accelerator = %engine.accelerator(),
            detector = of_detector.as_deref().unwrap_or("none"),
            cameras = cameras.join(", "),
            "session started"
        );
        if let Some(signature) = self.subject.signature(inputs.utc_clock.now())
            && signature.expired == Some(true)
        {
            tracing::warn!(
                version = signature.version,
                expires = signature.expires,
                "signature of the bundle expired; keeping it in use"
            );
        }
    }

    /// The health document of this moment.
    pub(super) fn health(&mut self) -> Result<Health, OutboxError> {
        let Subject {
            queue,
            outbox_clock,
            inputs,
            bundle,
            engine,
            detector,
            ..
        } = &self.subject;
        let now = inputs.utc_clock.now();
        let pending = queue.counts()?;
        let backlog = queue.backlog()?;
        let pending_bytes = queue.pending_bytes()?;
        let at = outbox_clock.now();
        let unrecorded = self.state.counters.unrecorded_encounters();
        let utc = |started: &MonotonicTimestamp| {
            let utc = inputs.utc_clock.to_utc(*started, Timing::Driver);
            utc.time.to_string()
        };
        let age = |oldest| u64::try_from(at.millis_since(oldest) / 1000).unwrap_or(0);
        Ok(Health::collect(HealthSources {
            boat: queue.boat().as_str(),
            bundle,
            signature: self.subject.signature(now),
            bundle_update: self.state.bundles.progress().map(Into::into),
            engine,
            detector: detector.as_ref().map(|d| self.state.detector.health(d)),
            counters: &self.state.counters,
            pending,
            now,
            uptime: self.state.started.elapsed(),
            inputs: inputs.health(),
            machine: self.machine.measure(),
            outbox: OutboxHealth {
                pending_bytes: backlog.bytes,
                oldest_pending_seconds: backlog.oldest.map(age),
                in_flight: self.state.counters.in_flight(),
                archived_sightings: backlog.archived,
                archived_bytes: backlog.archived_bytes,
                error: self.outbox_error.clone(),
                set_aside: outbox::set_aside(queue.folder()),
            },
            link: LinkHealth::new(&self.subject.link, &pending_bytes),
            stages: self.state.stages.health(),
            unrecorded: UnrecordedHealth {
                encounters: unrecorded.encounters,
                started: unrecorded.started.iter().map(utc).collect(),
            },
            levels: self.levels,
        }))
    }

    /// Does everything that is due.
    pub(super) fn poll(&mut self) {
        self.subject.inputs.utc_clock.check_system_clock();
        let now = self.subject.inputs.utc_clock.now();
        self.subject.link.poll(now);
        self.correct_times();
        self.ping_when_due();
        if due(&mut self.schedule.saved, SAVE_INTERVAL) {
            self.schedule.published = Some(Instant::now());
            self.release_held();
            match self.health() {
                Ok(health) => {
                    self.save(&health);
                    self.state.systemd.status(&status::summary(&health));
                    self.prune_when_due(&health);
                    self.state.status.publish(health);
                }
                Err(e) => tracing::warn!(error = %e, "cannot read the outbox"),
            }
        } else if self.state.status.requested_within(PAGE_TIMEOUT)
            && due(&mut self.schedule.published, PAGE_INTERVAL)
            && let Ok(health) = self.health()
        {
            self.state.status.publish(health);
        }
    }

    /// Sends what takes long to identify without a verdict.
    fn release_held(&mut self) {
        let before = self.subject.outbox_clock.now().plus_millis(-MAX_HELD);
        match self.subject.queue.release_held(before) {
            Ok(0) => {}
            Ok(sightings) => {
                tracing::warn!(sightings, "sending encounters that are not identified yet")
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot release encounters that are not identified yet")
            }
        }
    }

    /// Writes `health.json`.
    pub(super) fn save(&self, health: &Health) {
        if let Err(e) = health.write(&self.file) {
            tracing::warn!(file = %self.file.display(), error = %e, "cannot write the health file");
        }
    }

    /// Saves the outbox's clock and the link's budget at the session's end.
    pub(super) fn save_outbox_clock(&mut self) {
        self.subject.link.budget().close();
        let now = self.subject.outbox_clock.now();
        if let Err(e) = self.subject.queue.save_clock(now) {
            tracing::warn!(error = %e, "cannot save the outbox's clock");
        }
    }

    /// Whether everything is identified and acknowledged, no time is left to be corrected, and what was set aside is
    /// brought back.
    pub(super) fn delivered(&mut self) -> bool {
        let salvaged = |folder| {
            let set_aside = outbox::set_aside(folder);
            set_aside.iter().all(|aside| aside.salvaged.is_some())
        };
        // The outbox last: what is brought back is pending by then.
        self.correct_times()
            && salvaged(self.subject.queue.folder())
            && self.subject.queue.counts().is_ok_and(|c| c.is_delivered())
    }

    /// Returns whether the times of all sightings are right as far as is known.
    fn correct_times(&mut self) -> bool {
        let Subject { queue, inputs, .. } = &mut self.subject;
        let accepted = self.state.counters.accepted_sightings();
        self.time_correction
            .poll(queue, clock_run, &inputs.utc_clock, accepted)
    }

    /// What is wrong with the replays that could hardly be used.
    pub(super) fn broken_replays(&self) -> Vec<String> {
        self.subject.inputs.broken_replays()
    }

    /// Probes the outbox, and pings the watchdog where the session is healthy.
    fn ping_when_due(&mut self) {
        let timeout = self.state.systemd.watchdog_timeout();
        let interval = timeout.map_or(PROBE_INTERVAL, |t| t / 4);
        if due(&mut self.schedule.probed, PROBE_INTERVAL.min(interval)) {
            self.probe_outbox();
        }
        if !due(&mut self.schedule.pinged, interval) {
            return;
        }
        let heartbeat = &self.state.heartbeat;
        let vitals = Vitals {
            perception: PerceptionSteps {
                steps: heartbeat.steps(),
                waiting: heartbeat.is_waiting(),
                finished: heartbeat.is_finished(),
            },
            cameras: self.subject.inputs.live_steps(),
            probe: self.probe,
            in_memory: self.state.counters.in_memory(),
        };
        match self.watchdog.evaluate(&vitals) {
            Liveness::Healthy => {
                if self.unhealthy.take().is_some() {
                    tracing::info!("session healthy again");
                }
                self.state.systemd.ping_watchdog();
            }
            Liveness::Unhealthy(why) => {
                if self.unhealthy.is_none() {
                    let restart = timeout.is_some();
                    tracing::error!(
                        reason = why,
                        systemd_restarts = restart,
                        "session unhealthy"
                    );
                }
                self.unhealthy = Some(why);
            }
        }
    }

    fn probe_outbox(&mut self) {
        let accepted = self.state.counters.accepted_sightings();
        let committed = std::mem::replace(&mut self.accepted, accepted) != accepted;
        if committed && self.outbox_error.is_none() {
            // Since the last probe; one write more would only wear out a card.
            self.probe = WriteProbe::Committed;
            return;
        }
        let now = self.subject.outbox_clock.now();
        let (probe, error) = match self.subject.queue.save_clock(now) {
            Ok(()) => (WriteProbe::Committed, None),
            Err(e @ OutboxError::Full { .. }) => (WriteProbe::DiskFull, Some(e.to_string())),
            Err(e @ OutboxError::Damaged { .. }) => {
                // Opened again, it is set aside.
                self.state.counters.outbox_replaced();
                (WriteProbe::Failed, Some(e.to_string()))
            }
            Err(e) => (WriteProbe::Failed, Some(e.to_string())),
        };
        match (&self.outbox_error, &error) {
            (None, Some(e)) => tracing::error!(error = e, "outbox commits fail"),
            (Some(_), None) => tracing::info!("outbox commits work again"),
            _ => {}
        }
        self.probe = probe;
        self.outbox_error = error;
    }

    fn prune_when_due(&mut self, health: &Health) {
        let full = health
            .machine
            .disk
            .is_some_and(|d| d.severity == Severity::Critical);
        let interval = if full {
            PRUNE_INTERVAL_ON_FULL_DISK
        } else {
            PRUNE_INTERVAL
        };
        if !due(&mut self.schedule.pruned, interval) {
            return;
        }
        let nothing = ArchiveLimits {
            max_age: Duration::ZERO,
            max_bytes: 0,
        };
        let limits = self.archive.filter(|_| !full).unwrap_or(nothing);
        let now = self.subject.outbox_clock.now();
        match self.subject.queue.prune(limits, now) {
            Ok(0) => {}
            Ok(sightings) => tracing::info!(sightings, "pruned the archive"),
            Err(e) => tracing::warn!(error = %e, "cannot prune the archive"),
        }
        match self.subject.queue.prune_recordings(self.recordings, now) {
            Ok(0) => {}
            Ok(recordings) => tracing::info!(recordings, "deleted old recordings"),
            Err(e) => tracing::warn!(error = %e, "cannot delete old recordings"),
        }
        self.prune_clips(full, now);
    }

    /// Deletes old clips, and on a full disk all that shore knows of.
    fn prune_clips(&mut self, full: bool, now: Timestamp) {
        let (folder, limits) = &self.clips;
        let limits = ClipLimits {
            max_bytes: if full { 0 } else { limits.max_bytes },
            ..*limits
        };
        let queue = &self.subject.queue;
        // Sightings need the disk more than a clip that shore has requested.
        let requested = match full {
            true => Ok(vec![]),
            false => queue.requested_clips(now),
        };
        let pruned = match requested.and_then(|names| Ok((queue.backlog()?, names))) {
            Ok((backlog, requested)) => folder.prune(limits, backlog.oldest, &requested, now),
            Err(e) => return tracing::warn!(error = %e, "cannot read the outbox"),
        };
        match pruned {
            Ok(0) => {}
            Ok(clips) => tracing::info!(clips, "deleted old clips"),
            Err(e) => tracing::warn!(error = %e, "cannot delete old clips"),
        }
    }
}
