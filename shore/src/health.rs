//! Whether shore receives what boats send and can store it.

use flukewatch_common::presence::InstanceWatch;
use flukewatch_common::sighting::BoatId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;
use uuid::Uuid;

/// The most boats whose instances are watched: names come from outside.
const MAX_WATCHED_BOATS: usize = 1000;

#[derive(Debug, Default)]
struct Issues {
    /// The brokers to subscribe to, with what prevents it; `None` where ingest is subscribed.
    brokers: BTreeMap<String, Option<String>>,
    store: Option<String>,
    process: Option<BrokerProcess>,
    failures: MessageFailures,
}

/// Messages that alone could not be stored, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessageFailures {
    /// How many; a boat sends each again.
    pub total: u64,
    /// Why the last of them failed.
    pub last_error: Option<String>,
}

/// The broker's process, where the station runs one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BrokerProcess {
    /// Whether it runs.
    pub running: bool,
    /// How often it was started again after it had failed.
    pub restarts: u64,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// Written by ingest and the broker's supervision, read by the API and the pages.
#[derive(Debug)]
pub struct Health {
    connected: watch::Sender<bool>,
    issues: Mutex<Issues>,
    started: Instant,
    instances: Mutex<BTreeMap<BoatId, InstanceWatch>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            connected: watch::Sender::new(false),
            issues: Mutex::default(),
            started: Instant::now(),
            instances: Mutex::default(),
        }
    }
}

impl Health {
    fn issues(&self) -> MutexGuard<'_, Issues> {
        self.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names a broker that ingest is to subscribe to.
    pub(crate) fn expect_broker(&self, broker: &str) {
        let not_yet = Some("not connected yet".to_owned());
        self.issues().brokers.insert(broker.to_owned(), not_yet);
    }

    /// Records that ingest is subscribed to `broker`.
    pub(crate) fn broker_connected(&self, broker: &str) {
        self.set_broker(broker, None);
    }

    /// Records that ingest lost `broker`.
    pub(crate) fn broker_disconnected(&self, broker: &str, error: &str) {
        self.set_broker(broker, Some(error.to_owned()));
    }

    fn set_broker(&self, broker: &str, issue: Option<String>) {
        let mut issues = self.issues();
        issues.brokers.insert(broker.to_owned(), issue);
        let connected = issues.brokers.values().all(Option::is_none);
        self.connected.send_replace(connected);
    }

    /// Records that the broker's process accepts connections.
    pub(crate) fn broker_process_started(&self) {
        let mut issues = self.issues();
        let process = issues.process.get_or_insert_default();
        if !process.running && process.last_error.is_some() {
            process.restarts += 1;
        }
        process.running = true;
    }

    /// Records that the broker's process ended, or could not be started.
    pub(crate) fn broker_process_failed(&self, error: &str) {
        let mut issues = self.issues();
        let process = issues.process.get_or_insert_default();
        process.running = false;
        process.last_error = Some(error.to_owned());
    }

    /// The broker's process; `None` where the station runs none.
    pub fn broker_process(&self) -> Option<BrokerProcess> {
        self.issues().process.clone()
    }

    /// Records that a batch is on disk.
    pub(crate) fn store_succeeded(&self) {
        self.issues().store = None;
    }

    /// Records that one message could not be stored, and others could.
    pub(crate) fn message_failed(&self, error: &str) {
        let failures = &mut self.issues().failures;
        failures.total += 1;
        failures.last_error = Some(error.to_owned());
    }

    /// Messages that alone could not be stored.
    pub fn message_failures(&self) -> MessageFailures {
        self.issues().failures.clone()
    }

    /// A batch could not be written, which ended the session. The issue remains until a batch is
    /// written: a new connection says nothing about the disk.
    pub(crate) fn store_failed(&self, error: &str) {
        self.issues().store = Some(error.to_owned());
        self.connected.send_replace(false);
    }

    fn instances(&self) -> MutexGuard<'_, BTreeMap<BoatId, InstanceWatch>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a computer reported itself as `boat`.
    pub(crate) fn boat_present(&self, boat: &BoatId, instance: Uuid) {
        let now = self.started.elapsed();
        let mut instances = self.instances();
        if !instances.contains_key(boat) && instances.len() >= MAX_WATCHED_BOATS {
            return;
        }
        let watch = instances.entry(boat.clone()).or_default();
        let had_twin = watch.has_twin(now);
        watch.report(instance, now);
        if watch.has_twin(now) && !had_twin {
            tracing::error!(%boat, "two computers send under the name of one boat; rename one of them");
        }
    }

    /// The boats under whose name two computers send.
    pub fn twins(&self) -> Vec<BoatId> {
        let now = self.started.elapsed();
        let instances = self.instances();
        let twins = instances.iter().filter(|(_, watch)| watch.has_twin(now));
        twins.map(|(boat, _)| boat.clone()).collect()
    }

    /// Whether ingest is subscribed to all brokers.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Whether the last batch could not be written.
    pub(crate) fn store_fails(&self) -> bool {
        self.issues().store.is_some()
    }

    /// What prevents ingest, if anything is known to.
    pub fn issue(&self) -> Option<String> {
        let issues = self.issues();
        let process = issues.process.as_ref().filter(|p| !p.running);
        let process = process.and_then(|p| p.last_error.clone());
        // A broker that is down explains why ingest is disconnected.
        let of_broker = || process.or_else(|| issues.brokers.values().flatten().next().cloned());
        issues.store.clone().or_else(of_broker)
    }

    /// Waits until ingest is subscribed to all brokers.
    pub(crate) async fn wait_until_connected(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.connected.subscribe().wait_for(|c| *c).await;
    }
}
