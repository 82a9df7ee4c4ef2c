//! From the broker into the store: receive, judge, store, receipt, acknowledge - in that order.
//!
//! A message is acknowledged and receipted only after the transaction that holds it is on disk, so that whatever fails in between
//! costs a repetition and nothing else. Each lost connection is followed by a whole new session: `rumqttc` would otherwise
//! drop queued requests without a word.

pub mod broker_url;
mod judge;

use crate::broker::Oversized;
use crate::health::Health;
use crate::store::arrival::{Arrival, Outcome};
use crate::store::{Store, StoreError};
use broker_url::BrokerUrl;
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::{BoatId, Part, Receipt};
use flukewatch_common::{topic, wire};
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS,
    StateError, SubscribeFilter, SubscribeReasonCode,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinError};
use uuid::Uuid;

pub use judge::{LONGEST_NAME, LONGEST_SIDE, MOST_PIXELS, judge, too_large};

/// The most messages in one transaction.
const BATCH: usize = 64;
/// The most bytes that wait to be stored; beyond, the session is given up and the boats send again.
const MOST_WAITING: usize = 64 << 20;
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The pause after the store failed: disks recover when people make room, not in milliseconds.
const STORE_PAUSE: Duration = Duration::from_secs(3);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a session with the broker ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the broker at {0} cannot be reached or broke off: {1}")]
    Connection(BrokerUrl, Box<ConnectionError>),
    #[error(
        "the broker at {0} does not let shore subscribe to flukewatch/v1/+/sighting and /picture"
    )]
    NotSubscribed(BrokerUrl),
    #[error("more than {} MiB wait to be stored: the disk is too slow for what arrives", MOST_WAITING >> 20)]
    Overrun,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the receipts could not be sent: {0}")]
    Receipts(#[from] Box<ClientError>),
    #[error("a receipt could not be written: {0}")]
    Wire(#[from] wire::WireError),
    #[error("storing failed: {0}")]
    Task(#[from] JoinError),
    #[error("the session's storing part ended")]
    Ended,
}

/// Takes what boats publish into a store.
pub struct Ingest {
    broker: BrokerUrl,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    writing: Arc<Mutex<()>>,
}

/// Stops the storing half of a session with the session.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ingest {
    /// Puts the parts together.
    pub fn new(
        broker: BrokerUrl,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            broker,
            store,
            clock,
            health,
            writing: Arc::default(),
        }
    }

    /// Waits until no batch is being written: a write goes on to its end when the session around it is given up.
    pub async fn settled(&self) {
        drop(self.writing.lock().await);
    }

    /// Runs until `stop` turns true; a failure is logged, told to the health, and tried again after a pause.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let session = Arc::clone(&self).session(&mut pause);
            let ended = tokio::select! {
                _ = stop.changed() => return,
                Err(error) = session => error,
            };
            let wait = if let SessionError::Store(error) = &ended {
                self.health.not_stored(&error.to_string());
                STORE_PAUSE
            } else {
                self.health.disconnected(&ended.to_string());
                pause
            };
            tracing::warn!(error = %ended, again_in_ms = wait.as_millis(), "no sightings come in");
            if let Some(bytes) = oversized(&ended) {
                let arrival = too_large("a client of the broker", bytes, vec![]);
                if let Err(error) = self.stored(vec![arrival]).await {
                    tracing::error!(%error, "a refusal could not be kept");
                }
            }
            tokio::select! {
                _ = stop.changed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn session(
        self: Arc<Self>,
        pause: &mut Duration,
    ) -> Result<std::convert::Infallible, SessionError> {
        let connection = |e| SessionError::Connection(self.broker.clone(), Box::new(e));
        let (client, mut events) = connect(&self.broker);
        let filters = [topic::ALL_SIGHTINGS, topic::ALL_PICTURES];
        let filters = filters.map(|f| SubscribeFilter::new(f.to_owned(), QoS::AtLeastOnce));
        client.subscribe_many(filters).await.map_err(Box::new)?;

        let (arrived, waiting) = mpsc::unbounded_channel();
        let done = Arc::new(AtomicUsize::new(0));
        let storing =
            tokio::spawn(Arc::clone(&self).store_and_receipt(client, waiting, Arc::clone(&done)));
        let _abort = AbortOnDrop(storing.abort_handle());
        tokio::pin!(storing);
        let mut received = 0usize;
        loop {
            let event = tokio::select! {
                event = events.poll() => event.map_err(connection)?,
                ended = &mut storing => {
                    ended??;
                    return Err(SessionError::Ended);
                }
            };
            match event {
                Event::Incoming(Packet::SubAck(answer)) => {
                    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return Err(SessionError::NotSubscribed(self.broker.clone()));
                    }
                    tracing::info!(broker = %self.broker, "listening to the boats");
                    self.health.connected();
                    *pause = FIRST_PAUSE;
                }
                Event::Incoming(Packet::Publish(publish)) => {
                    received = received.wrapping_add(publish.payload.len());
                    if received.wrapping_sub(done.load(Ordering::Relaxed)) > MOST_WAITING {
                        return Err(SessionError::Overrun);
                    }
                    arrived.send(publish).map_err(|_| SessionError::Ended)?;
                }
                _ => {}
            }
        }
    }

    /// The other half of a session, so that a slow disk does not keep the first half from answering the broker.
    async fn store_and_receipt(
        self: Arc<Self>,
        client: AsyncClient,
        mut waiting: mpsc::UnboundedReceiver<Publish>,
        done: Arc<AtomicUsize>,
    ) -> Result<(), SessionError> {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let publishes = std::mem::take(&mut batch);
            let bytes: usize = publishes.iter().map(|p| p.payload.len()).sum();
            let (publishes, arrivals) = tokio::task::spawn_blocking(move || {
                let arrivals = publishes
                    .iter()
                    .map(|p| judge(&p.topic, &p.payload))
                    .collect::<Vec<_>>();
                (publishes, arrivals)
            })
            .await?;
            let outcomes = self.stored(arrivals).await?;
            for receipt in receipts(outcomes) {
                let to = topic::of_receipts(&receipt.boat);
                client
                    .publish(to, QoS::AtLeastOnce, false, wire::encode(&receipt)?)
                    .await
                    .map_err(Box::new)?;
            }
            for publish in &publishes {
                client.ack(publish).await.map_err(Box::new)?;
            }
            done.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn stored(&self, arrivals: Vec<Arrival>) -> Result<Vec<Outcome>, SessionError> {
        let (store, now) = (Arc::clone(&self.store), self.clock.now());
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let accepted = tokio::task::spawn_blocking(move || {
            let outcomes = store.accept(&arrivals, now);
            drop(store);
            drop(writing);
            outcomes
        });
        let outcomes = accepted.await??;
        self.health.stored();
        for outcome in &outcomes {
            match outcome {
                Outcome::Stored {
                    boat,
                    id,
                    part,
                    again,
                } => {
                    tracing::info!(%boat, %id, ?part, again, "stored");
                }
                Outcome::Refused(refusal) => {
                    tracing::warn!(reason = %refusal.reason, refusal.detail, "refused")
                }
            }
        }
        Ok(outcomes)
    }

    /// Keeps what the embedded broker did not let through, until `oversized` is closed.
    pub async fn keep_oversized(self: Arc<Self>, mut oversized: mpsc::Receiver<Oversized>) {
        while let Some(packet) = oversized.recv().await {
            let arrival = too_large(&packet.client, packet.bytes, packet.head);
            if let Err(error) = self.stored(vec![arrival]).await {
                tracing::error!(%error, "a refusal could not be kept");
            }
        }
    }
}

fn connect(broker: &BrokerUrl) -> (AsyncClient, EventLoop) {
    // A name of its own, so that two stations on one broker do not push each other out.
    let mut options = MqttOptions::new(
        format!("shore-{}", Uuid::now_v7().simple()),
        broker.host.clone(),
        broker.port,
    );
    let packet = wire::MAX_MESSAGE + 1024;
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_clean_session(true)
        .set_manual_acks(true)
        .set_inflight(64)
        .set_max_packet_size(packet, packet);
    let (client, mut events) = AsyncClient::new(options, 2 * BATCH);
    let mut network = events.network_options();
    network.set_connection_timeout(10);
    events.set_network_options(network);
    (client, events)
}

/// One receipt a boat for all that was stored of it.
fn receipts(outcomes: Vec<Outcome>) -> Vec<Receipt> {
    let mut by_boat: BTreeMap<BoatId, Vec<(Uuid, Part)>> = BTreeMap::new();
    for outcome in outcomes {
        if let Outcome::Stored { boat, id, part, .. } = outcome {
            by_boat.entry(boat).or_default().push((id, part));
        }
    }
    by_boat
        .into_iter()
        .map(|(boat, stored)| Receipt { boat, stored })
        .collect()
}

/// How large the packet was that ended the session, if that is what ended it.
fn oversized(error: &SessionError) -> Option<usize> {
    match error {
        SessionError::Connection(_, error) => match error.as_ref() {
            ConnectionError::MqttState(StateError::Deserialization(
                CodecError::PayloadSizeLimitExceeded(bytes),
            )) => Some(*bytes),
            _ => None,
        },
        _ => None,
    }
}
