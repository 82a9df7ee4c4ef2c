//! Sends the outbox's messages to shore.

mod answers;
mod files;
mod load;
mod window;

use super::link::{LinkError, Uplink, UplinkEvent};
use super::meter::Meter;
use super::picture_progress::PictureProgress;
use super::requested_files::RequestedFiles;
use super::status_reporter::StatusReporter;
use super::suspects::Suspects;
use super::twins::TwinWatch;
use crate::app_state::StatusBoard;
use crate::backoff::Backoff;
use crate::bundle_mailbox::{FromShore, Mailbox};
use crate::health::Counters;
use crate::link_budget::{LinkBudget, PacketSize};
use crate::outbox::{Key, OutboxError, Queue};
use flukewatch_common::bundle_transfer::ContentRequest;
use flukewatch_common::clock::Clock;
use flukewatch_common::link_class::LinkClass;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::sighting::{BoatId, MessageKind};
use flukewatch_common::wire;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

/// Window and timeout of an [`Uploader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploaderSettings {
    /// The maximum number of messages in flight.
    pub window: usize,
    /// A message that shore has not acknowledged this long after the broker accepted it is sent
    /// again.
    pub ack_timeout: Duration,
    /// Whether an acknowledgement must name the content that shore has stored.
    pub bound_acks: bool,
}

/// What an [`Uploader`] works with.
pub struct UploaderParts<U> {
    /// The connection to the broker.
    pub uplink: U,
    /// The broker's name in logs.
    pub broker: String,
    /// The outbox's messages to send.
    pub queue: Queue,
    /// Window and acknowledgement timeout.
    pub settings: UploaderSettings,
    /// Between two attempts to connect.
    pub backoff: Backoff,
    /// The outbox's clock, for dead letters.
    pub clock: Arc<dyn Clock>,
    /// Counts sent and acknowledged messages.
    pub counters: Arc<Counters>,
    /// Notified of new messages.
    pub accepted: Arc<Notify>,
    /// What the link may carry.
    pub budget: Arc<LinkBudget>,
    /// How many bytes its messages take.
    pub packet_size: PacketSize,
    /// Random: distinguishes this process from others that send under the boat's name.
    pub instance: Uuid,
    /// Messages about bundles, from and to the updater.
    pub bundles: Arc<Mailbox>,
}

/// Sends pending messages, deletes them once shore acknowledges them, and moves those that shore rejects
/// to the dead letters. Dropping it at any time loses nothing.
pub struct Uploader<U> {
    uplink: U,
    broker: String,
    boat: BoatId,
    instance: Uuid,
    reporter: Option<StatusReporter>,
    /// `None` only while a blocking thread works with it.
    queue: Option<Queue>,
    settings: UploaderSettings,
    backoff: Backoff,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    accepted: Arc<Notify>,
    bundles: Arc<Mailbox>,
    files: RequestedFiles,
    pictures: PictureProgress,
    in_flight: HashMap<Key, InFlight>,
    timeout_factor: u32,
    acked_since_timeout: bool,
    last_progress: Instant,
    outbox_failing: bool,
    suspects: Suspects,
    twins: TwinWatch,
    connected_at: Instant,
    /// Whether this connection has passed a message.
    proved: bool,
    /// When the latest message was accepted or sent that shore has answered.
    latest_acked: Option<Instant>,
    meter: Meter,
    /// The class of the link as this knows it.
    link: LinkClass,
}

/// A message that was sent.
struct InFlight {
    /// [`MessageKind::PicturePart`] where it is a part of its picture.
    kind: MessageKind,
    bytes: u64,
    digest: MessageDigest,
    /// Nothing else is sent until the broker has accepted it.
    alone: bool,
    /// When the broker accepted it; until then the connection itself is responsible for it.
    accepted: Option<Instant>,
}

/// Why the uploader has to reconnect.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("broker {broker} disconnected: {source}")]
    Link { broker: String, source: LinkError },
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("the link's class changed to {0}")]
    OtherLink(LinkClass),
    #[error("internal error: a thread of the outbox panicked")]
    Panicked,
}

impl<U: Uplink> Uploader<U> {
    /// An uploader that is not connected yet.
    pub fn new(parts: UploaderParts<U>) -> Self {
        let (boat, epoch) = (parts.queue.boat().clone(), parts.queue.epoch());
        Self {
            suspects: Suspects::default(),
            twins: TwinWatch::new(boat.clone(), parts.instance, epoch),
            boat,
            instance: parts.instance,
            reporter: None,
            connected_at: Instant::now(),
            proved: false,
            latest_acked: None,
            link: parts.budget.class(),
            meter: Meter::new(parts.budget, parts.packet_size, parts.queue.boat().clone()),
            uplink: parts.uplink,
            broker: parts.broker,
            queue: Some(parts.queue),
            settings: parts.settings,
            backoff: parts.backoff,
            clock: parts.clock,
            counters: parts.counters,
            accepted: parts.accepted,
            bundles: parts.bundles,
            files: RequestedFiles::default(),
            pictures: PictureProgress::default(),
            in_flight: HashMap::new(),
            timeout_factor: 1,
            acked_since_timeout: false,
            last_progress: Instant::now(),
            outbox_failing: false,
        }
    }

    /// Reports the boat's status from `board` to shore, too.
    pub fn reporting(mut self, board: Arc<StatusBoard>) -> Self {
        let reporter = StatusReporter::new(self.boat.clone(), self.instance, board);
        self.reporter = Some(reporter);
        self
    }

    /// Runs until it is dropped, or until a thread of the outbox panics. The first of several failures in
    /// a row is a warning, the others are logged at level debug.
    pub async fn run(mut self) {
        let mut warned = false;
        // An earlier uploader may have ended in the middle of a connection.
        self.counters.set_connected(false);
        self.counters.set_in_flight(0);
        loop {
            let error = match self.upload().await {
                Err(error) => error,
                Ok(never) => match never {},
            };
            if let UploadError::Link { source, .. } = &error
                && let Some(reporter) = &mut self.reporter
            {
                reporter.connection_ended(source.closed_by_broker);
            }
            self.blame(&error).await;
            if let UploadError::OtherLink(class) = error {
                tracing::info!(link = %class, "connecting again for the link's class");
                continue;
            }
            let error = error.to_string();
            if self.counters.is_connected() {
                warned = false;
            }
            self.counters.set_connected(false);
            self.counters.set_in_flight(0);
            let wait = self.backoff.next_delay();
            let backoff_ms = wait.as_millis();
            if warned {
                tracing::debug!(error, backoff_ms, "upload failed; reconnecting");
            } else {
                tracing::warn!(error, backoff_ms, "upload failed; reconnecting");
                warned = true;
            }
            if self.queue.is_none() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Suspects the messages that the broker has not accepted when a connection ends.
    async fn blame(&mut self, error: &UploadError) {
        let UploadError::Link { source, .. } = error else {
            return;
        };
        let unaccepted = |(key, m): (&Key, &InFlight)| {
            let is_suspect = m.accepted.is_none() && self.meter.carries(m.kind, m.bytes);
            is_suspect.then_some((*key, m.bytes))
        };
        let unaccepted: Vec<(Key, u64)> = self.in_flight.iter().filter_map(unaccepted).collect();
        self.in_flight.clear();
        match unaccepted[..] {
            [(key, bytes)] if source.closed_by_broker && self.proved => {
                if let Some(reason) = self.suspects.closed_on(key, bytes)
                    && let Err(error) = self.park(key, reason).await
                {
                    tracing::warn!(%error, "cannot park a message");
                }
            }
            [(key, bytes)] => self.suspects.failed(key, bytes),
            _ => self.suspects.suspect(unaccepted),
        }
    }

    /// Parks a message because of its size.
    async fn park(&mut self, key: Key, reason: String) -> Result<(), UploadError> {
        // A reduced copy may take its place.
        self.pictures.forget(&key);
        let now = self.clock.now();
        self.with_queue(move |queue| queue.park(key, &reason, now))
            .await
    }

    /// One connection, from its start to its end.
    async fn upload(&mut self) -> Result<Infallible, UploadError> {
        self.in_flight.clear();
        self.files.disconnected();
        self.pictures.disconnected();
        self.timeout_factor = 1;
        self.proved = false;
        self.latest_acked = None;
        let last_will = self
            .reporter
            .as_mut()
            .and_then(StatusReporter::begin_connection);
        let will_bytes = last_will.as_ref().map_or(0, |will| will.len() as u64);
        self.affordable_connection(will_bytes).await;
        let profile = self.meter.profile();
        self.uplink
            .set_timing(profile.keep_alive, profile.connect_timeout);
        if let Err(error) = self.uplink.connect(last_will).await {
            self.meter.failed_to_connect();
            return Err(self.disconnected(error));
        }
        self.meter.connected(will_bytes);
        tracing::info!(broker = self.broker, "broker connected");
        self.counters.set_connected(true);
        self.connected_at = Instant::now();
        self.last_progress = self.connected_at;
        self.twins.report_soon();
        let mut tick =
            tokio::time::interval((self.settings.ack_timeout / 4).min(Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (accepted, bundles) = (self.accepted.clone(), self.bundles.clone());
        loop {
            tokio::select! {
                event = self.uplink.event() => match event.map_err(|e| self.disconnected(e))? {
                    UplinkEvent::BrokerAccepted(key) => {
                        self.broker_accepted(key);
                        if !self.suspects.is_empty() {
                            let sent = self.fill_window().await;
                            self.tolerate_outbox(sent)?;
                        }
                    }
                    UplinkEvent::StatusAccepted => {
                        if let Some(reporter) = &mut self.reporter {
                            reporter.accepted();
                        }
                    }
                    UplinkEvent::Presence(message) => self.proved |= self.twins.received(&message),
                    UplinkEvent::Bundle(message) => {
                        if let FromShore::Offer(offer) = &message {
                            self.meter.received_offer(offer.len() as u64);
                        }
                        self.bundles.arrived(message);
                    }
                    UplinkEvent::Command(bytes) => {
                        self.meter.received_command(bytes.len() as u64);
                        let received = self.receive_command(&bytes).await;
                        self.tolerate_outbox(received)?;
                        let sent = self.send_files().await;
                        self.tolerate_outbox(sent)?;
                    }
                    UplinkEvent::Settings(message) => {
                        self.meter.received_settings(message.len() as u64);
                        self.bundles.settings_arrived(message);
                    }
                    UplinkEvent::Ack(bytes) => {
                        self.meter.received_ack(bytes.len() as u64);
                        let answered = self.receive_ack(&bytes).await;
                        self.tolerate_outbox(answered)?;
                        let sent = self.fill_window().await;
                        self.tolerate_outbox(sent)?;
                    }
                },
                () = bundles.to_send() => self.send_requests()?,
                () = accepted.notified() => {
                    let sent = self.fill_window().await;
                    self.tolerate_outbox(sent)?;
                }
                _ = tick.tick() => {
                    self.follow_link()?;
                    self.announce()?;
                    self.report_status()?;
                    self.send_requests()?;
                    for (key, reason) in self.expire()? {
                        let parked = self.park(key, reason).await;
                        self.tolerate_outbox(parked)?;
                    }
                    let sent = self.fill_window().await;
                    self.tolerate_outbox(sent)?;
                    let sent = self.send_files().await;
                    self.tolerate_outbox(sent)?;
                }
            }
            self.counters.set_in_flight(self.in_flight.len());
        }
    }

    /// Returns once the budget has bytes for a connection.
    async fn affordable_connection(&mut self, will_bytes: u64) {
        if self.meter.permits_connection(will_bytes) {
            return;
        }
        tracing::info!(link = %self.meter.class(), "budget of the link spent; connecting later");
        while !self.meter.permits_connection(will_bytes) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Notices another class of the link, and counts the probes of the connection.
    ///
    /// # Errors
    /// Where the connection's settings are wrong for the class.
    fn follow_link(&mut self) -> Result<(), UploadError> {
        self.meter.count_probes();
        let class = self.meter.class();
        if class == self.link {
            return Ok(());
        }
        self.link = class;
        // What one link fails on, another may carry.
        self.suspects = Suspects::default();
        if self.meter.is_kept_alive_as_needed() {
            return Ok(());
        }
        Err(UploadError::OtherLink(class))
    }

    /// A message that shore has not acknowledged after this time is sent again.
    fn ack_timeout(&self) -> Duration {
        self.meter.ack_timeout(self.settings.ack_timeout)
    }

    /// An error of the outbox does not end the connection: the work is retried. The first error in
    /// a row is logged.
    fn tolerate_outbox(&mut self, result: Result<(), UploadError>) -> Result<(), UploadError> {
        let Err(UploadError::Outbox(e)) = result else {
            return result;
        };
        if !self.outbox_failing {
            tracing::warn!(error = %e, "outbox failed; retrying");
        }
        self.outbox_failing = true;
        Ok(())
    }

    /// Reports the boat's presence when that is due, and whether another computer has its name.
    ///
    /// Shore answers with an empty acknowledgement, so that a message that it does not receive or store
    /// can be distinguished from an absent shore.
    fn announce(&mut self) -> Result<(), UploadError> {
        let half = self.ack_timeout() * self.timeout_factor / 2;
        let last_report = self.twins.last_report();
        let mut accepted = self.in_flight.values().filter_map(|m| m.accepted);
        if accepted.any(|at| at.elapsed() >= half && last_report <= Some(at)) {
            self.twins.report_soon();
        }
        let interval = self.meter.profile().presence_interval;
        if let Some(message) = self.twins.due(interval)
            && self.meter.take_presence(message.len() as u64)
        {
            let announced = self.uplink.announce(message);
            announced.map_err(|e| self.disconnected(e))?;
        }
        let twin = self.twins.has_twin();
        if self.counters.set_twin(twin) != twin {
            if twin {
                tracing::error!(
                    "another computer sends under this boat's name; rename one of the two"
                );
            } else {
                tracing::info!("no other computer sends under this boat's name any more");
            }
        }
        Ok(())
    }

    /// Reports the boat's status when that is due.
    fn report_status(&mut self) -> Result<(), UploadError> {
        let Some(reporter) = &mut self.reporter else {
            return Ok(());
        };
        let profile = self.meter.profile();
        let due = reporter.due(profile.status_interval, profile.min_status_interval);
        let Some(report) = due else {
            return Ok(());
        };
        if !self.meter.take_status(report.message.len() as u64) {
            return Ok(());
        }
        match self.uplink.report_status(report.message.clone()) {
            Ok(true) => reporter.sent(&report),
            Ok(false) => {}
            Err(e) => return Err(self.disconnected(e)),
        }
        Ok(())
    }

    /// Tells the updater what the link carries, and sends what it wants to send. A request that the budget does
    /// not permit is dropped: the updater requests the piece again.
    fn send_requests(&mut self) -> Result<(), UploadError> {
        self.bundles.set_piece_bytes(self.meter.bundle_piece());
        while let Some(message) = self.bundles.take_outgoing() {
            let bytes = message.len() as u64;
            if let Ok(request) = wire::decode::<ContentRequest>(&message) {
                if !self.meter.take_request(bytes, request.max_bytes) {
                    continue;
                }
            } else {
                self.meter.sent_report(bytes);
            }
            match self.uplink.request(message.clone()) {
                Ok(true) => {}
                Ok(false) => {
                    self.bundles.put_back(message);
                    break;
                }
                Err(e) => return Err(self.disconnected(e)),
            }
        }
        Ok(())
    }

    fn disconnected(&self, source: LinkError) -> UploadError {
        UploadError::Link {
            broker: self.broker.clone(),
            source,
        }
    }

    /// Works with the queue on a thread that may block.
    async fn with_queue<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Queue) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let mut queue = self.queue.take().ok_or(UploadError::Panicked)?;
        let (queue, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut queue);
            (queue, result)
        })
        .await
        .map_err(|_| UploadError::Panicked)?;
        self.queue = Some(queue);
        Ok(result?)
    }
}

#[cfg(test)]
mod tests;
