//! Whether shore hears the boats and can store what they send.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What stands in the way.
#[derive(Debug, Default)]
struct Trouble {
    broker: Option<String>,
    store: Option<String>,
}

/// Shared between ingest, which tells, and the pages, which show.
#[derive(Debug)]
pub struct Health {
    connected: watch::Sender<bool>,
    trouble: Mutex<Trouble>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            connected: watch::Sender::new(false),
            trouble: Mutex::default(),
        }
    }
}

impl Health {
    fn told(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ingest is subscribed.
    pub fn connected(&self) {
        self.told().broker = None;
        self.connected.send_replace(true);
    }

    /// Ingest lost the broker.
    pub fn disconnected(&self, why: &str) {
        self.told().broker = Some(why.to_owned());
        self.connected.send_replace(false);
    }

    /// A batch is on disk.
    pub fn stored(&self) {
        self.told().store = None;
    }

    /// A batch could not be written, and the session was given up for that. It stays told until one can, since being connected
    /// again says nothing of the disk.
    pub fn not_stored(&self, why: &str) {
        self.told().store = Some(why.to_owned());
        self.connected.send_replace(false);
    }

    /// Whether ingest is subscribed now.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// What stands in the way of the boats' sightings, as far as shore has noticed.
    pub fn trouble(&self) -> Option<String> {
        let told = self.told();
        told.store.clone().or_else(|| told.broker.clone())
    }

    /// Waits until ingest is subscribed.
    pub async fn wait_until_connected(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.connected.subscribe().wait_for(|c| *c).await;
    }
}
