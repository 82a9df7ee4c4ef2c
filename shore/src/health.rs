//! Whether shore hears the boats.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Shared between ingest, which tells, and the pages, which show.
#[derive(Debug)]
pub struct Health {
    connected: watch::Sender<bool>,
    trouble: Mutex<Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { connected: watch::Sender::new(false), trouble: Mutex::default() }
    }
}

impl Health {
    fn last(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ingest is subscribed.
    pub fn connected(&self) {
        *self.last() = None;
        self.connected.send_replace(true);
    }

    /// Ingest lost the broker or could not store.
    pub fn failed(&self, why: &str) {
        *self.last() = Some(why.to_owned());
        self.connected.send_replace(false);
    }

    /// Whether ingest is subscribed now.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Why it is not, where it has tried.
    pub fn trouble(&self) -> Option<String> {
        self.last().clone()
    }

    /// Waits until ingest is subscribed.
    pub async fn wait_until_connected(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.connected.subscribe().wait_for(|c| *c).await;
    }
}
