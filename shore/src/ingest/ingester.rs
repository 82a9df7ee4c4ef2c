//! The loop that moves messages from the broker into the store.

use super::answers::answers;
use super::mqtt;
use super::validate::{reject_too_large, validate};
use crate::broker::OversizedPacket;
use crate::health::Health;
use crate::store::{IncomingMessage, IngestResult, Store, StoreError};
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::clock::Clock;
use flukewatch_common::presence::Presence;
use flukewatch_common::sighting::Ack;
use flukewatch_common::{topic, wire};
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, Packet, Publish, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinError};

/// Messages in one transaction.
const MAX_BATCH: usize = 64;
/// Bytes that may be pending; beyond, the session is given up and the boats send again.
const MAX_PENDING_BYTES: usize = 64 << 20;
/// Backoff after the first failure; it doubles up to [`MAX_BACKOFF`].
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
/// Backoff after the store failed: a full disk does not recover within
/// milliseconds.
const STORE_BACKOFF: Duration = Duration::from_secs(3);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Why a session with the broker ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("connection to broker {0} failed: {1}{hint}", hint = login_hint(.1))]
    Connection(BrokerUrl, Box<ConnectionError>),
    #[error("broker {0} rejected the subscription to {sightings} and {pictures}", sightings = topic::ALL_SIGHTINGS, pictures = topic::ALL_PICTURES)]
    SubscriptionRejected(BrokerUrl),
    #[error("more than {} MiB pending: the disk is too slow for the incoming messages", MAX_PENDING_BYTES >> 20)]
    Overrun,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot send acknowledgements: {0}")]
    SendAck(#[from] Box<ClientError>),
    #[error("cannot encode acknowledgement: {0}")]
    EncodeAck(#[from] wire::WireError),
    #[error("store task failed: {0}")]
    Task(#[from] JoinError),
    #[error("store task ended")]
    StoreTaskEnded,
}

fn login_hint(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "; check --broker-user and --broker-password-file",
        _ => "",
    }
}

/// Stores what boats publish.
pub struct Ingester {
    broker: BrokerUrl,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    health: Arc<Health>,
    write_lock: Arc<Mutex<()>>,
}

/// Aborts the storing half of a session together with the session.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ingester {
    /// An ingester that does nothing until it is run.
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
            write_lock: Arc::default(),
        }
    }

    /// Waits until no batch is being written: a write continues to its end when the session around
    /// it is given up.
    pub async fn drain(&self) {
        drop(self.write_lock.lock().await);
    }

    /// Runs until `shutdown` turns true. A failure is logged, reported to the health, and followed
    /// by a new session.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut backoff = INITIAL_BACKOFF;
        loop {
            let session = Arc::clone(&self).session(&mut backoff);
            let error = tokio::select! {
                _ = shutdown.changed() => return,
                Err(error) = session => error,
            };
            let delay = if let SessionError::Store(error) = &error {
                self.health.store_failed(&error.to_string());
                STORE_BACKOFF
            } else {
                self.health.broker_disconnected(&error.to_string());
                backoff
            };
            tracing::warn!(%error, ?delay, "ingest failed; reconnecting");
            if let SessionError::Connection(_, error) = &error
                && let Some(bytes) = mqtt::oversized_packet(error)
            {
                let message = reject_too_large("a client of the broker", bytes, vec![]);
                if let Err(error) = self.store(vec![message]).await {
                    tracing::error!(%error, "cannot record rejected message");
                }
            }
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(delay) => {}
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn session(self: Arc<Self>, backoff: &mut Duration) -> Result<Infallible, SessionError> {
        let connection_error = |e| SessionError::Connection(self.broker.clone(), Box::new(e));
        let (client, mut events) = mqtt::connect(&self.broker, 2 * MAX_BATCH);
        let filters = [
            (topic::ALL_SIGHTINGS, QoS::AtLeastOnce),
            (topic::ALL_PICTURES, QoS::AtLeastOnce),
            (topic::ALL_PRESENCES, QoS::AtMostOnce),
            (topic::ALL_STATUSES, QoS::AtLeastOnce),
        ];
        let filters = filters.map(|(f, qos)| SubscribeFilter::new(f.to_owned(), qos));
        client.subscribe_many(filters).await.map_err(Box::new)?;

        let acks = client.clone();
        let (received, pending) = mpsc::unbounded_channel();
        let stored_bytes = Arc::new(AtomicUsize::new(0));
        let storing = Arc::clone(&self).store_and_ack(client, pending, Arc::clone(&stored_bytes));
        let storing = tokio::spawn(storing);
        let _abort = AbortOnDrop(storing.abort_handle());
        tokio::pin!(storing);
        let mut received_bytes = 0usize;
        loop {
            let event = tokio::select! {
                event = events.poll() => event.map_err(connection_error)?,
                finished = &mut storing => {
                    finished??;
                    return Err(SessionError::StoreTaskEnded);
                }
            };
            match event {
                Event::Incoming(Packet::SubAck(ack)) => {
                    let rejected = |filter: usize| {
                        let code = ack.return_codes.get(filter);
                        code.is_none_or(|code| *code == SubscribeReasonCode::Failure)
                    };
                    if rejected(0) || rejected(1) {
                        return Err(SessionError::SubscriptionRejected(self.broker.clone()));
                    }
                    if rejected(2) {
                        tracing::warn!(
                            topic = topic::ALL_PRESENCES,
                            "subscription rejected: two computers of one boat are not recognised"
                        );
                    }
                    if rejected(3) {
                        tracing::warn!(
                            topic = topic::ALL_STATUSES,
                            "subscription rejected: the status of boats is unknown"
                        );
                    }
                    tracing::info!(broker = %self.broker, "subscribed");
                    self.health.broker_connected();
                    *backoff = INITIAL_BACKOFF;
                }
                Event::Incoming(Packet::Publish(publish))
                    if topic::parse_presence(&publish.topic).is_some() =>
                {
                    if let Some(answer) = self.answer_presence(&publish) {
                        let topic = topic::of_acks(&answer.boat);
                        let answer = wire::encode(&answer)?;
                        // Where the queue is full, the boat asks again.
                        let _ = acks.try_publish(topic, QoS::AtMostOnce, false, answer);
                    }
                    if publish.qos == QoS::AtLeastOnce {
                        acks.try_ack(&publish).map_err(Box::new)?;
                    }
                }
                Event::Incoming(Packet::Publish(publish)) => {
                    received_bytes = received_bytes.wrapping_add(publish.payload.len());
                    let pending_bytes =
                        received_bytes.wrapping_sub(stored_bytes.load(Ordering::Relaxed));
                    if pending_bytes > MAX_PENDING_BYTES {
                        return Err(SessionError::Overrun);
                    }
                    let sent = received.send(publish);
                    sent.map_err(|_| SessionError::StoreTaskEnded)?;
                }
                _ => {}
            }
        }
    }

    /// Notes which computer sends as which boat. Returns an empty acknowledgement, which says that
    /// messages are received and stored; `None` where they are not.
    fn answer_presence(&self, publish: &Publish) -> Option<Ack> {
        let of_topic = topic::parse_presence(&publish.topic);
        let boat = match wire::decode::<Presence>(&publish.payload) {
            Ok(presence) if Some(&presence.boat) == of_topic.as_ref() => {
                self.health.boat_present(&presence.boat, presence.instance);
                presence.boat
            }
            Ok(presence) => {
                tracing::warn!(topic = publish.topic, boat = %presence.boat, "ignoring presence of another boat");
                return None;
            }
            Err(error) => {
                tracing::warn!(topic = publish.topic, %error, "ignoring malformed presence");
                return None;
            }
        };
        (!self.health.store_fails()).then_some(Ack {
            boat,
            stored: vec![],
            rejected: vec![],
        })
    }

    /// The storing half of a session. Apart from the receiving half, so that a slow disk does not
    /// delay the answers to the broker.
    async fn store_and_ack(
        self: Arc<Self>,
        client: AsyncClient,
        mut pending: mpsc::UnboundedReceiver<Publish>,
        stored_bytes: Arc<AtomicUsize>,
    ) -> Result<(), SessionError> {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while pending.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let publishes = std::mem::take(&mut batch);
            let bytes: usize = publishes.iter().map(|p| p.payload.len()).sum();
            let (publishes, messages) = tokio::task::spawn_blocking(move || {
                let messages = publishes
                    .iter()
                    .map(|p| {
                        let mut message = validate(&p.topic, &p.payload);
                        message.meta.retained = p.retain;
                        message
                    })
                    .collect::<Vec<_>>();
                (publishes, messages)
            })
            .await?;
            let results = self.store(messages).await?;
            for ack in answers(&publishes, results) {
                let topic = topic::of_acks(&ack.boat);
                let payload = wire::encode(&ack)?;
                let sent = client.publish(topic, QoS::AtLeastOnce, false, payload);
                sent.await.map_err(Box::new)?;
            }
            for publish in &publishes {
                client.ack(publish).await.map_err(Box::new)?;
            }
            stored_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn store(
        &self,
        messages: Vec<IncomingMessage>,
    ) -> Result<Vec<IngestResult>, SessionError> {
        let (store, now) = (Arc::clone(&self.store), self.clock.now());
        let write_guard = Arc::clone(&self.write_lock).lock_owned().await;
        let write = tokio::task::spawn_blocking(move || {
            let results = store.accept(&messages, now);
            drop(store);
            drop(write_guard);
            results
        });
        let results = write.await??;
        self.health.store_succeeded();
        for result in &results {
            match result {
                IngestResult::Stored {
                    boat,
                    id,
                    kind,
                    revision,
                    duplicate,
                } => {
                    tracing::info!(%boat, %id, ?kind, revision, duplicate, "message stored");
                }
                IngestResult::StatusStored => tracing::debug!("status report stored"),
                IngestResult::Rejected(rejection) => tracing::warn!(
                    reason = %rejection.reason,
                    detail = rejection.detail,
                    "message rejected"
                ),
            }
        }
        Ok(results)
    }

    /// Records the packets that the embedded broker did not read, until `oversized` is closed.
    pub async fn record_oversized(self: Arc<Self>, mut oversized: mpsc::Receiver<OversizedPacket>) {
        while let Some(packet) = oversized.recv().await {
            let message = reject_too_large(&packet.client_id, packet.bytes, packet.head);
            if let Err(error) = self.store(vec![message]).await {
                tracing::error!(%error, "cannot record rejected message");
            }
        }
    }
}
