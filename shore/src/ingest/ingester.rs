//! The loop that moves messages from a broker into the store.

use super::answers::{BatchMessage, answers};
use super::command_publisher::{ChunkSenders, CommandPublisher};
use super::content_server::{ContentServer, Requests};
use super::mqtt::{self, BrokerAccess};
use super::offer_publisher::{OfferPublisher, StaleOffers};
use super::settings_publisher::publish_settings;
use super::trust::MessageTrust;
use super::validate::{reject_too_large, reject_unauthenticated, validate};
use crate::boat_settings::AllSent;
use crate::broker::OversizedPacket;
use crate::bundles::OpenOffers;
use crate::health::Health;
use crate::store::{IncomingMessage, IngestResult, Store, StoreError};
use bytes::Bytes;
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::clock::Clock;
use flukewatch_common::presence::Presence;
use flukewatch_common::sighting::Ack;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{
    AckHandle, Connection, Dialer, Event, MqttError, MqttErrorKind, Outgoing, Publisher, Received,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{AbortHandle, JoinError};

/// Messages in one transaction. As many as the broker delivers without an acknowledgement: fewer would spend most of the time on syncs. The largest ones together
/// stay below [`MAX_PENDING_BYTES`].
const MAX_BATCH: usize = 200;
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
    Connection(BrokerUrl, MqttError),
    #[error("broker {0} rejected the subscription to {sightings} and {pictures}", sightings = topic::ALL_SIGHTINGS, pictures = topic::ALL_PICTURES)]
    SubscriptionRejected(BrokerUrl),
    #[error("more than {} MiB pending: the disk is too slow for the incoming messages", MAX_PENDING_BYTES >> 20)]
    Overrun,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot send acknowledgements: {0}")]
    SendAck(MqttError),
    #[error("cannot encode acknowledgement: {0}")]
    EncodeAck(#[from] wire::WireError),
    #[error("store task failed: {0}")]
    Task(#[from] JoinError),
    #[error("store task ended")]
    StoreTaskEnded,
}

fn login_hint(error: &MqttError) -> &'static str {
    match error.kind {
        MqttErrorKind::NotAuthorized => {
            "; check --broker-user and --broker-password-file, or --certificate-file"
        }
        _ => "",
    }
}

/// Stores what boats publish.
pub struct Ingester {
    parts: IngesterParts,
    content_server: Arc<ContentServer>,
    offer_publisher: Arc<OfferPublisher>,
    command_publisher: Arc<CommandPublisher>,
    write_lock: Arc<Mutex<()>>,
}

/// What an ingester works with.
pub struct IngesterParts {
    /// The broker to subscribe to.
    pub broker: BrokerAccess,
    /// Which messages are believed.
    pub trust: MessageTrust,
    /// Where they are stored.
    pub store: Arc<dyn Store>,
    /// The time of their arrival.
    pub clock: Arc<dyn Clock>,
    /// Where failures are reported.
    pub health: Arc<Health>,
    /// The bundles that boats are offered.
    pub offers: OpenOffers,
    /// The settings that boats were sent.
    pub settings: watch::Receiver<Arc<AllSent>>,
}

/// What was received and is to be stored.
struct Queue {
    messages: mpsc::UnboundedSender<Received>,
    received_bytes: usize,
    stored_bytes: Arc<AtomicUsize>,
}

/// The other end of a [`Queue`].
struct Queued {
    messages: mpsc::UnboundedReceiver<Received>,
    stored_bytes: Arc<AtomicUsize>,
}

impl Queue {
    fn new() -> (Self, Queued) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stored_bytes = Arc::new(AtomicUsize::new(0));
        let queued = Queued {
            messages: receiver,
            stored_bytes: Arc::clone(&stored_bytes),
        };
        let queue = Self {
            messages: sender,
            received_bytes: 0,
            stored_bytes,
        };
        (queue, queued)
    }

    /// Queues a message, unless too many bytes are pending.
    fn push(&mut self, message: Received) -> Result<(), SessionError> {
        self.received_bytes = self.received_bytes.wrapping_add(message.payload.len());
        let stored_bytes = self.stored_bytes.load(Ordering::Relaxed);
        if self.received_bytes.wrapping_sub(stored_bytes) > MAX_PENDING_BYTES {
            return Err(SessionError::Overrun);
        }
        let sent = self.messages.send(message);
        sent.map_err(|_| SessionError::StoreTaskEnded)
    }
}

/// Acknowledges a message to the broker.
async fn acknowledge(publisher: &Publisher, ack: Option<AckHandle>) -> Result<(), SessionError> {
    match ack {
        Some(ack) => publisher
            .acknowledge(ack)
            .await
            .map_err(SessionError::SendAck),
        None => Ok(()),
    }
}

/// Aborts a task of a session together with the session.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ingester {
    /// An ingester that does nothing until it is run.
    pub fn new(parts: IngesterParts) -> Self {
        parts.health.expect_broker(&parts.broker.url.to_string());
        // Another station of the group may have made an offer or a request that this one does not know.
        let is_only_station = parts.broker.group.is_none();
        let content_server = ContentServer::new(
            parts.offers.clone(),
            parts.trust.clone(),
            Arc::clone(&parts.clock),
            is_only_station,
        );
        let command_publisher = CommandPublisher::new(
            Arc::clone(&parts.store),
            parts.trust.clone(),
            Arc::clone(&parts.clock),
            is_only_station,
        );
        Self {
            content_server: Arc::new(content_server),
            offer_publisher: Arc::new(OfferPublisher::new(parts.trust.clone())),
            command_publisher: Arc::new(command_publisher),
            parts,
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
        // One for all sessions: it remembers which version the broker speaks.
        let mut dialer = Dialer::new(mqtt::settings(&self.parts.broker, 2 * MAX_BATCH));
        loop {
            let session = Arc::clone(&self).session(&mut dialer, &mut backoff);
            let error = tokio::select! {
                _ = shutdown.changed() => return,
                Err(error) = session => error,
            };
            let delay = if let SessionError::Store(error) = &error {
                self.parts.health.store_failed(&error.to_string());
                STORE_BACKOFF
            } else {
                let broker = self.parts.broker.url.to_string();
                self.parts
                    .health
                    .broker_disconnected(&broker, &error.to_string());
                backoff
            };
            tracing::warn!(%error, ?delay, "ingest failed; reconnecting");
            if let SessionError::Connection(_, error) = &error
                && let MqttErrorKind::OversizedPacket(bytes) = error.kind
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

    async fn session(
        self: Arc<Self>,
        dialer: &mut Dialer,
        backoff: &mut Duration,
    ) -> Result<Infallible, SessionError> {
        let broker = &self.parts.broker;
        let connection_error = |e| SessionError::Connection(broker.url.clone(), e);
        let mut connection = dialer.connect(None).await.map_err(connection_error)?;
        self.subscribed(&connection)?;
        *backoff = INITIAL_BACKOFF;

        let publisher = connection.publisher().clone();
        let (mut queue, queued) = Queue::new();
        let (stale, stale_reported) = StaleOffers::new();
        let (senders, chunk_senders) = ChunkSenders::new();
        let storing =
            Arc::clone(&self).store_and_ack(publisher.clone(), queued, stale.clone(), senders);
        let storing = tokio::spawn(storing);
        let _abort = AbortOnDrop(storing.abort_handle());
        tokio::pin!(storing);
        let offering = Arc::clone(&self.offer_publisher).run(
            publisher.clone(),
            self.parts.offers.follow(),
            stale_reported,
        );
        // It ends by itself with the connection only.
        let _abort_offering = AbortOnDrop(tokio::spawn(offering).abort_handle());
        let commanding = Arc::clone(&self.command_publisher).run(publisher.clone(), chunk_senders);
        let _abort_commanding = AbortOnDrop(tokio::spawn(commanding).abort_handle());
        let settings = self.parts.settings.clone();
        let setting = publish_settings(self.parts.trust.clone(), publisher.clone(), settings);
        let _abort_setting = AbortOnDrop(tokio::spawn(setting).abort_handle());
        let (requests, mut invalid) = Requests::new(&self.content_server, &publisher, stale);
        loop {
            let event = tokio::select! {
                event = connection.event() => event.map_err(connection_error)?,
                finished = &mut storing => {
                    finished??;
                    return Err(SessionError::StoreTaskEnded);
                }
                // To be recorded among the rejected messages.
                Some(request) = invalid.recv() => {
                    queue.push(request)?;
                    continue;
                }
            };
            let Event::Received(message) = event else {
                continue;
            };
            if topic::parse_presence(&message.topic).is_some() {
                if let Some(answer) = self.answer_presence(&message) {
                    let topic = topic::of_acks(&answer.boat);
                    let answer = self.parts.trust.seal(wire::encode(&answer)?);
                    // Where the queue is full, the boat asks again.
                    let answer = Outgoing::at_most_once(topic, answer);
                    publisher
                        .try_publish(&answer, None)
                        .map_err(SessionError::SendAck)?;
                }
                acknowledge(&publisher, message.ack).await?;
                continue;
            }
            match requests.boat_of(&message) {
                Some(boat) => acknowledge(&publisher, requests.take(&boat, message)).await?,
                None => queue.push(message)?,
            }
        }
    }

    /// Reports which subscriptions the broker granted.
    fn subscribed(&self, connection: &Connection) -> Result<(), SessionError> {
        let broker = &self.parts.broker.url;
        let rejected = |filter: usize| connection.granted().get(filter) != Some(&true);
        if rejected(0) || rejected(1) {
            return Err(SessionError::SubscriptionRejected(broker.clone()));
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
        if rejected(4) {
            tracing::warn!(
                topic = topic::ALL_REQUESTS,
                "subscription rejected: boats receive no bundles"
            );
        }
        if rejected(5) {
            tracing::warn!(
                topic = topic::ALL_BRIEFS,
                "subscription rejected: identities do not go ahead over slow links"
            );
        }
        if rejected(6) {
            tracing::warn!(
                topic = topic::ALL_CHUNKS,
                "subscription rejected: boats send no clips and crops"
            );
        }
        tracing::info!(%broker, version = ?connection.version(), "subscribed");
        self.parts.health.broker_connected(&broker.to_string());
        Ok(())
    }

    /// Notes which computer sends as which boat. Returns an empty acknowledgement, which says that
    /// messages are received and stored; `None` where they are not.
    fn answer_presence(&self, message: &Received) -> Option<Ack> {
        let topic = &message.topic;
        let of_topic = topic::parse_presence(topic)?;
        let now = self.parts.clock.now();
        let content = match self.parts.trust.open(&of_topic, &message.payload, now) {
            Ok(content) => content,
            Err(rejection) => {
                tracing::warn!(topic, detail = rejection.detail, "ignoring presence");
                return None;
            }
        };
        let boat = match wire::decode::<Presence>(&content) {
            Ok(presence) if presence.boat == of_topic => {
                let health = &self.parts.health;
                health.boat_present(&presence.boat, presence.instance);
                presence.boat
            }
            Ok(presence) => {
                tracing::warn!(topic, boat = %presence.boat, "ignoring presence of another boat");
                return None;
            }
            Err(error) => {
                tracing::warn!(topic, %error, "ignoring malformed presence");
                return None;
            }
        };
        (!self.parts.health.store_fails()).then_some(Ack {
            boat,
            stored: vec![],
            rejected: vec![],
        })
    }

    /// Validates a received message.
    fn examine(&self, received: Received) -> (BatchMessage, IncomingMessage, Option<AckHandle>) {
        let Received {
            topic,
            payload,
            retained,
            ack,
        } = received;
        let boat = topic::parse(&topic).map(|(boat, _)| boat);
        let boat = boat.or_else(|| topic::parse_status(&topic));
        let boat = boat.or_else(|| topic::parse_request(&topic));
        let boat = boat.or_else(|| topic::parse_chunk(&topic));
        let now = self.parts.clock.now();
        let opened = match boat {
            Some(boat) => self.parts.trust.open(&boat, &payload, now),
            // To be rejected for its topic.
            None => Ok(payload.clone()),
        };
        let (mut result, content, authentic) = match opened {
            Ok(content) => (validate(&topic, &content), content, true),
            Err(rejection) => (
                reject_unauthenticated(&topic, &payload, rejection),
                Bytes::new(),
                false,
            ),
        };
        result.meta.retained = retained;
        let message = BatchMessage {
            topic,
            content,
            authentic,
        };
        (message, result, ack)
    }

    /// The storing half of a session. Apart from the receiving half, so that a slow disk does not
    /// delay the answers to the broker.
    async fn store_and_ack(
        self: Arc<Self>,
        publisher: Publisher,
        mut queued: Queued,
        stale: StaleOffers,
        senders: ChunkSenders,
    ) -> Result<(), SessionError> {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while queued.messages.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let batch = std::mem::take(&mut batch);
            let bytes: usize = batch.iter().map(|m| m.payload.len()).sum();
            let ingester = Arc::clone(&self);
            let (messages, results, acks) = tokio::task::spawn_blocking(move || {
                let mut parts = (vec![], vec![], vec![]);
                for received in batch {
                    let (message, result, ack) = ingester.examine(received);
                    parts.0.push(message);
                    parts.1.push(result);
                    parts.2.extend(ack);
                }
                parts
            })
            .await?;
            let results = self.store(results).await?;
            self.follow_transfers(&results, &stale, &senders);
            let trust = &self.parts.trust;
            for ack in answers(&messages, results, trust.is_signed()) {
                let topic = topic::of_acks(&ack.boat);
                let payload = trust.seal(wire::encode(&ack)?);
                let sent = publisher.publish(Outgoing::at_least_once(topic, payload), None);
                sent.await.map_err(SessionError::SendAck)?;
            }
            for ack in acks {
                acknowledge(&publisher, Some(ack)).await?;
            }
            queued.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends the offers that boats have dealt with, and answers boats that send chunks.
    fn follow_transfers(
        &self,
        results: &[IngestResult],
        stale: &StaleOffers,
        senders: &ChunkSenders,
    ) {
        let is_only_station = self.parts.broker.group.is_none();
        for result in results {
            let (boat, offer, stage) = match result {
                IngestResult::TransferStored { boat, offer, stage } => (boat, offer, stage),
                IngestResult::ChunkStored { boat, .. } => {
                    senders.report(boat.clone());
                    continue;
                }
                IngestResult::UnknownRequest { boat, .. } if is_only_station => {
                    senders.report(boat.clone());
                    continue;
                }
                _ => continue,
            };
            let offers = self.parts.offers.now();
            let open = offers.by_boat.get(boat);
            if open.is_none_or(|open| open.message.id != *offer) {
                stale.report(boat.clone());
            } else if stage.is_final() {
                self.parts.offers.look();
            }
        }
    }

    async fn store(
        &self,
        messages: Vec<IncomingMessage>,
    ) -> Result<Vec<IngestResult>, SessionError> {
        let (store, now) = (Arc::clone(&self.parts.store), self.parts.clock.now());
        let write_guard = Arc::clone(&self.write_lock).lock_owned().await;
        let write = tokio::task::spawn_blocking(move || {
            let results = store.accept(&messages, now);
            drop(store);
            drop(write_guard);
            results
        });
        let results = write.await??;
        self.parts.health.store_succeeded();
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
                IngestResult::PartStored {
                    boat,
                    id,
                    received,
                    total,
                } => tracing::debug!(%boat, %id, received, total, "part of a picture stored"),
                IngestResult::StatusStored => tracing::debug!("status report stored"),
                IngestResult::TransferStored { boat, offer, stage } => {
                    tracing::info!(%boat, %offer, stage = stage.as_str(), "bundle transfer reported");
                }
                IngestResult::UnknownOffer { boat, offer } => {
                    tracing::warn!(%boat, %offer, "ignoring report on an unknown offer");
                }
                IngestResult::ChunkStored { boat, request } if request.is_open() => {
                    let (id, received, total) = (request.new.id, request.received, request.total);
                    tracing::debug!(%boat, request = %id, received, ?total, "chunk stored");
                }
                IngestResult::ChunkStored { boat, request } => tracing::info!(
                    %boat,
                    sighting = %request.new.sighting,
                    file = request.new.file.as_str(),
                    progress = request.progress.as_str(),
                    reason = request.reason,
                    "request of a file ended"
                ),
                IngestResult::UnknownRequest { boat, request } => {
                    tracing::debug!(%boat, %request, "ignoring chunk of a file that is not requested");
                }
                IngestResult::NotStored => {}
                IngestResult::Quarantined {
                    boat,
                    id,
                    revision,
                    reason,
                } => tracing::warn!(%boat, %id, revision, reason, "sighting quarantined"),
                IngestResult::Failed(error) => {
                    self.parts.health.message_failed(error);
                    tracing::error!(error, "cannot store a message; storing the others");
                }
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
