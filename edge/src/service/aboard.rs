//! What goes on from one configuration to the next.

use super::{Pulse, Systemd};
use crate::health::{Counters, Health};
use crate::viewfinder::Viewfinder;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The newest health document, and where the outbox is: what the boat's page is made of.
#[derive(Debug, Default)]
pub struct Bulletin(Mutex<Posted>);

#[derive(Debug, Default)]
struct Posted {
    health: Option<(Arc<Health>, Instant)>,
    outbox: Option<PathBuf>,
    asked: Option<Instant>,
}

impl Bulletin {
    /// Sightings wait in the folder `outbox` from now on.
    pub fn moves(&self, outbox: PathBuf) {
        self.held().outbox = Some(outbox);
    }

    /// Posts `health`.
    pub fn post(&self, health: Health) {
        self.held().health = Some((Arc::new(health), Instant::now()));
    }

    /// The newest document and its age; remembers that somebody asked.
    pub fn read(&self) -> Option<(Arc<Health>, Duration)> {
        let mut held = self.held();
        held.asked = Some(Instant::now());
        let (health, posted) = held.health.as_ref()?;
        Some((health.clone(), posted.elapsed()))
    }

    /// Whether somebody has asked within this time.
    pub fn asked_within(&self, time: Duration) -> bool {
        self.held().asked.is_some_and(|at| at.elapsed() <= time)
    }

    /// The outbox's folder; `None` before there is one.
    pub fn outbox(&self) -> Option<PathBuf> {
        self.held().outbox.clone()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by all runs of one program; clones share it.
#[derive(Clone, Debug)]
pub struct Aboard {
    /// When the program started.
    pub started: Instant,
    /// What has happened since.
    pub counters: Arc<Counters>,
    /// The watch's sign of life.
    pub pulse: Arc<Pulse>,
    /// What the cameras see.
    pub viewfinder: Arc<Viewfinder>,
    /// What the page shows.
    pub bulletin: Arc<Bulletin>,
    /// The service manager.
    pub systemd: Systemd,
}

impl Aboard {
    /// A program that has just started.
    pub fn new(systemd: Systemd) -> Self {
        Self {
            started: Instant::now(),
            counters: Arc::default(),
            pulse: Arc::default(),
            viewfinder: Arc::default(),
            bulletin: Arc::default(),
            systemd,
        }
    }
}

impl Default for Aboard {
    /// One that no service manager listens to.
    fn default() -> Self {
        Self::new(Systemd::default())
    }
}
