//! What outlives a reload: counters, stages, the detector's meter, the queue for the accelerator, what is received over the air, recordings without an outbox, heartbeat, previews, the page's rejections and the latest health document.

use crate::bundle_mailbox::Mailbox;
use crate::detector_meter::DetectorMeter;
use crate::health::{Counters, Health};
use crate::heartbeat::Heartbeat;
use crate::preview::Preview;
use crate::recorder::NewRecording;
use crate::stage::Stages;
use crate::systemd::Systemd;
use flukewatch_common::broker_url::BrokerEnvironment;
use flukewatch_http::Rejections;
use flukewatch_inference::engine::plan_queue::PlanQueue;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The latest health document and the outbox's folder, for the boat's page and for shore.
#[derive(Debug, Default)]
pub struct StatusBoard(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    health: Option<(Arc<Health>, Instant)>,
    outbox: Option<PathBuf>,
    requested: Option<Instant>,
}

impl StatusBoard {
    /// Sets the folder of the outbox.
    pub fn set_outbox(&self, outbox: PathBuf) {
        self.lock().outbox = Some(outbox);
    }

    /// Replaces the health document.
    pub fn publish(&self, health: Health) {
        self.lock().health = Some((Arc::new(health), Instant::now()));
    }

    /// The latest health document and its age. Remembers that it was requested.
    pub fn latest(&self) -> Option<(Arc<Health>, Duration)> {
        let mut latest = self.lock();
        latest.requested = Some(Instant::now());
        let (health, published) = latest.health.as_ref()?;
        Some((health.clone(), published.elapsed()))
    }

    /// The latest health document, to report it to shore.
    pub fn to_report(&self) -> Option<Arc<Health>> {
        let latest = self.lock();
        latest.health.as_ref().map(|(health, _)| health.clone())
    }

    /// Whether the document was requested within `time`.
    pub fn requested_within(&self, time: Duration) -> bool {
        self.lock().requested.is_some_and(|at| at.elapsed() <= time)
    }

    /// The outbox's folder; `None` before the first session.
    pub fn outbox(&self) -> Option<PathBuf> {
        self.lock().outbox.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Recordings that an outbox did not accept before its session ended, for the next session.
#[derive(Clone, Debug, Default)]
pub struct Unsaved(Arc<Mutex<Vec<NewRecording>>>);

impl Unsaved {
    /// Keeps recordings, oldest first.
    pub fn put(&self, recordings: Vec<NewRecording>) {
        self.lock().extend(recordings);
    }

    /// Takes all of them.
    pub fn take(&self) -> Vec<NewRecording> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NewRecording>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by all sessions of one process; clones share it.
#[derive(Clone, Debug)]
pub struct AppState {
    /// When the process started.
    pub started: Instant,
    /// Events counted since the start.
    pub counters: Arc<Counters>,
    /// The stages of the pipeline.
    pub stages: Stages,
    /// Measures the detector.
    pub detector: Arc<DetectorMeter>,
    /// The models that are prepared for the accelerator.
    pub plans: PlanQueue,
    /// What uploader and updater exchange about bundles.
    pub bundles: Arc<Mailbox>,
    /// Recordings that no outbox has accepted yet.
    pub unsaved: Unsaved,
    /// Perception's heartbeat.
    pub heartbeat: Arc<Heartbeat>,
    /// The latest frame of each camera, for the page.
    pub preview: Arc<Preview>,
    /// What the page shows.
    pub status: Arc<StatusBoard>,
    /// Counts what the page has rejected.
    pub page_rejections: Arc<Rejections>,
    /// A folder in memory for `health.json`; without one it is in the outbox's.
    pub runtime_folder: Option<PathBuf>,
    /// Notifies the service manager.
    pub systemd: Systemd,
    /// User and password for the broker from the environment.
    pub broker_environment: BrokerEnvironment,
}

impl AppState {
    /// The state of a process that has just started.
    pub fn new(systemd: Systemd, broker_environment: BrokerEnvironment) -> Self {
        Self {
            started: Instant::now(),
            counters: Arc::default(),
            stages: Stages::default(),
            detector: Arc::default(),
            plans: PlanQueue::default(),
            bundles: Arc::default(),
            unsaved: Unsaved::default(),
            heartbeat: Arc::default(),
            preview: Arc::default(),
            status: Arc::default(),
            page_rejections: Arc::default(),
            runtime_folder: None,
            systemd,
            broker_environment,
        }
    }
}

impl Default for AppState {
    /// Without a service manager and an environment.
    fn default() -> Self {
        Self::new(Systemd::default(), BrokerEnvironment::default())
    }
}
