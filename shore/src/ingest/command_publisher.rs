//! Publishes on a broker which files are wanted of boats; it retains that for boats that are away.
//!
//! A command lists all files that are wanted of a boat with what has arrived of them, and so acknowledges chunks as
//! well. It is published on each connection, when something changes, and when a boat sends what it need not send.

use super::trust::MessageTrust;
use crate::store::{Store, StoreError};
use flukewatch_common::clock::Clock;
use flukewatch_common::file_transfer::{Command, RequestedFile};
use flukewatch_common::sighting::BoatId;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{MqttError, Outgoing, Publisher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinError;

/// How often the store is asked: a command on this computer may have changed what is wanted.
const INTERVAL: Duration = Duration::from_secs(1);
/// Boats that may be pending to be answered; further ones are answered when they send again.
const MAX_PENDING: usize = 64;

/// Publishes commands on the connections to one broker.
pub(super) struct CommandPublisher {
    store: Arc<dyn Store>,
    trust: MessageTrust,
    clock: Arc<dyn Clock>,
    /// Whether the broker has no other station: what this one does not want then is not wanted.
    is_only_station: bool,
}

/// Where to report a boat that has sent a chunk.
#[derive(Clone, Debug)]
pub(super) struct ChunkSenders(mpsc::Sender<BoatId>);

/// Why a command is not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("cannot send command: {0}")]
    Send(#[from] MqttError),
    #[error("cannot encode command: {0}")]
    Encode(#[from] wire::WireError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("store task failed: {0}")]
    Task(#[from] JoinError),
}

/// What is wanted of each boat.
type Wanted = BTreeMap<BoatId, Vec<RequestedFile>>;

impl ChunkSenders {
    /// With the boats that are reported.
    pub(super) fn new() -> (Self, mpsc::Receiver<BoatId>) {
        let (report, reported) = mpsc::channel(MAX_PENDING);
        (Self(report), reported)
    }

    /// `boat` has sent a chunk, and is to know what has arrived.
    pub(super) fn report(&self, boat: BoatId) {
        // Where there are too many, the boat will send again.
        let _ = self.0.try_send(boat);
    }
}

impl CommandPublisher {
    pub(super) fn new(
        store: Arc<dyn Store>,
        trust: MessageTrust,
        clock: Arc<dyn Clock>,
        is_only_station: bool,
    ) -> Self {
        Self {
            store,
            trust,
            clock,
            is_only_station,
        }
    }

    /// Publishes what is wanted on a new connection, and then what changes, until the connection ends.
    pub(super) async fn run(
        self: Arc<Self>,
        publisher: Publisher,
        mut senders: mpsc::Receiver<BoatId>,
    ) {
        // On this connection: the broker may have lost what it retained before.
        let mut published = Wanted::new();
        let mut answer = BTreeSet::new();
        let mut failing = false;
        loop {
            match self.publish(&publisher, &mut published, &answer).await {
                Ok(()) => {
                    failing = false;
                    answer.clear();
                }
                Err(PublishError::Send(_)) => return,
                Err(error) if !failing => {
                    tracing::error!(%error, "cannot publish what is wanted of boats; retrying");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::select! {
                Some(boat) = senders.recv() => {
                    answer.insert(boat);
                    while let Ok(boat) = senders.try_recv() {
                        answer.insert(boat);
                    }
                }
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Publishes what has changed, and what is wanted of the boats in `answer`.
    async fn publish(
        &self,
        publisher: &Publisher,
        published: &mut Wanted,
        answer: &BTreeSet<BoatId>,
    ) -> Result<(), PublishError> {
        let now = self.clock.now();
        let store = Arc::clone(&self.store);
        let wanted = tokio::task::spawn_blocking(move || store.wanted_files(now));
        let mut wanted = wanted.await??;
        for boat in answer {
            wanted.entry(boat.clone()).or_default();
        }
        for (boat, files) in wanted {
            let before = published.get(&boat);
            if before == Some(&files) && !answer.contains(&boat) {
                continue;
            }
            let payload = if files.is_empty() {
                if !self.is_only_station && before.is_none() {
                    continue;
                }
                // Ends what the broker retains.
                vec![]
            } else {
                self.command(&boat, &files).await?
            };
            let message = Outgoing::at_least_once(topic::of_commands(&boat), payload).retained();
            publisher.publish(message, None).await?;
            let is_new = |before: &Vec<RequestedFile>| before.len() != files.len();
            if before.is_none_or(is_new) {
                tracing::info!(%boat, files = files.len(), "files wanted");
            }
            published.insert(boat, files);
        }
        Ok(())
    }

    /// A command as it is sent.
    async fn command(
        &self,
        boat: &BoatId,
        files: &[RequestedFile],
    ) -> Result<Vec<u8>, PublishError> {
        let (store, of, now) = (Arc::clone(&self.store), boat.clone(), self.clock.now());
        let issued = tokio::task::spawn_blocking(move || store.issue_command(&of, now)).await??;
        let command = Command {
            boat: boat.clone(),
            issued,
            files: files.to_vec(),
        };
        Ok(self.trust.seal(wire::encode(&command)?))
    }
}
