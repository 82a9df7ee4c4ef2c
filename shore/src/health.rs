//! Whether shore receives what boats send and can store it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

#[derive(Debug, Default)]
struct Issues {
    broker: Option<String>,
    store: Option<String>,
}

/// Written by ingest, read by the API and the pages.
#[derive(Debug)]
pub struct Health {
    connected: watch::Sender<bool>,
    issues: Mutex<Issues>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            connected: watch::Sender::new(false),
            issues: Mutex::default(),
        }
    }
}

impl Health {
    fn issues(&self) -> MutexGuard<'_, Issues> {
        self.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that ingest is subscribed.
    pub(crate) fn broker_connected(&self) {
        self.issues().broker = None;
        self.connected.send_replace(true);
    }

    /// Records that ingest lost the broker.
    pub(crate) fn broker_disconnected(&self, error: &str) {
        self.issues().broker = Some(error.to_owned());
        self.connected.send_replace(false);
    }

    /// Records that a batch is on disk.
    pub(crate) fn store_succeeded(&self) {
        self.issues().store = None;
    }

    /// A batch could not be written, which ended the session. The issue remains until a batch is
    /// written: a new connection says nothing about the disk.
    pub(crate) fn store_failed(&self, error: &str) {
        self.issues().store = Some(error.to_owned());
        self.connected.send_replace(false);
    }

    /// Whether ingest is subscribed.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// What prevents ingest, if anything is known to.
    pub fn issue(&self) -> Option<String> {
        let issues = self.issues();
        issues.store.clone().or_else(|| issues.broker.clone())
    }

    /// Waits until ingest is subscribed.
    pub(crate) async fn wait_until_connected(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.connected.subscribe().wait_for(|c| *c).await;
    }
}
