//! Sends the outbox's messages to shore.

use super::link::{LinkError, Uplink, UplinkEvent};
use super::status_reporter::StatusReporter;
use super::suspects::Suspects;
use super::twins::TwinWatch;
use crate::app_state::StatusBoard;
use crate::backoff::Backoff;
use crate::health::Counters;
use crate::outbox::{Key, Load, OutboxError, Pending, Queue};
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::clock::Clock;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::sighting::{Ack, Acknowledged, BoatId, MAX_REASON_BYTES, Rejected};
use flukewatch_common::{topic, wire};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

/// The maximum size of the messages in flight, unless one message alone is larger. On a slow link,
/// pictures would otherwise delay the next sighting for minutes.
const MAX_BYTES_IN_FLIGHT: u64 = 1 << 20;
/// While shore acknowledges nothing at all, the timeout doubles up to this many times
/// `ack_timeout`.
const MAX_TIMEOUT_FACTOR: u32 = 16;
/// The uploader reconnects when the broker has accepted nothing for this many times `ack_timeout`.
const STALLED_TIMEOUTS: u32 = 10;
/// A message that a connection ended on is sent once another one has passed, or after this time.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// Window and timeout of an [`Uploader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploaderSettings {
    /// The maximum number of messages in flight.
    pub window: usize,
    /// A message that shore has not acknowledged this long after the broker accepted it is sent
    /// again.
    pub ack_timeout: Duration,
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
    /// Random: distinguishes this process from others that send under the boat's name.
    pub instance: Uuid,
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
}

struct InFlight {
    bytes: u64,
    digest: MessageDigest,
    /// Nothing else is sent until the broker has accepted it.
    alone: bool,
    /// When the broker accepted it; until then the connection itself is responsible for it.
    accepted: Option<Instant>,
}

/// The result of an attempt to send.
enum Sent {
    Yes,
    /// It is not pending any more.
    Gone,
    /// The link's queue is full.
    Full,
}

/// Why the uploader has to reconnect.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("broker {broker} disconnected: {source}")]
    Link { broker: String, source: LinkError },
    #[error(transparent)]
    Outbox(#[from] OutboxError),
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
            uplink: parts.uplink,
            broker: parts.broker,
            queue: Some(parts.queue),
            settings: parts.settings,
            backoff: parts.backoff,
            clock: parts.clock,
            counters: parts.counters,
            accepted: parts.accepted,
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

    /// Runs until it is dropped. The first of several failures in a row is a warning, the others
    /// are logged at level debug.
    pub async fn run(mut self) {
        let mut warned = false;
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
                tracing::error!("uploader stopped; restart flukewatch-edge. The outbox is intact");
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
        let unaccepted =
            |(key, m): (&Key, &InFlight)| m.accepted.is_none().then_some((*key, m.bytes));
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
        let now = self.clock.now();
        self.with_queue(move |queue| queue.park(key, &reason, now))
            .await
    }

    /// One connection, from its start to its end.
    async fn upload(&mut self) -> Result<Infallible, UploadError> {
        self.in_flight.clear();
        self.timeout_factor = 1;
        self.proved = false;
        self.latest_acked = None;
        let last_will = self
            .reporter
            .as_mut()
            .and_then(StatusReporter::begin_connection);
        self.uplink
            .connect(last_will)
            .await
            .map_err(|e| self.disconnected(e))?;
        tracing::info!(broker = self.broker, "broker connected");
        self.counters.set_connected(true);
        self.connected_at = Instant::now();
        self.last_progress = self.connected_at;
        self.twins.report_soon();
        let mut tick =
            tokio::time::interval((self.settings.ack_timeout / 4).min(Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let accepted = self.accepted.clone();
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
                    UplinkEvent::Ack(bytes) => {
                        let answered = self.receive_ack(&bytes).await;
                        self.tolerate_outbox(answered)?;
                        let sent = self.fill_window().await;
                        self.tolerate_outbox(sent)?;
                    }
                },
                () = accepted.notified() => {
                    let sent = self.fill_window().await;
                    self.tolerate_outbox(sent)?;
                }
                _ = tick.tick() => {
                    self.announce()?;
                    self.report_status()?;
                    for (key, reason) in self.expire()? {
                        let parked = self.park(key, reason).await;
                        self.tolerate_outbox(parked)?;
                    }
                    let sent = self.fill_window().await;
                    self.tolerate_outbox(sent)?;
                }
            }
            self.counters.set_in_flight(self.in_flight.len());
        }
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
        let half = self.settings.ack_timeout * self.timeout_factor / 2;
        let last_report = self.twins.last_report();
        let mut accepted = self.in_flight.values().filter_map(|m| m.accepted);
        if accepted.any(|at| at.elapsed() >= half && last_report <= Some(at)) {
            self.twins.report_soon();
        }
        if let Some(message) = self.twins.due() {
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
        let Some(report) = reporter.due() else {
            return Ok(());
        };
        match self.uplink.report_status(report.message.clone()) {
            Ok(true) => reporter.sent(&report),
            Ok(false) => {}
            Err(e) => return Err(self.disconnected(e)),
        }
        Ok(())
    }

    fn broker_accepted(&mut self, key: Key) {
        let now = Instant::now();
        self.last_progress = now;
        self.proved = true;
        if let Some(message) = self.in_flight.get_mut(&key) {
            message.accepted = Some(now);
            self.suspects.accepted(key, message.bytes);
        }
    }

    async fn receive_ack(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let ack = match wire::decode::<Ack>(bytes) {
            Ok(ack) if ack.boat == self.boat => ack,
            Ok(ack) => {
                tracing::warn!(boat = %ack.boat, "ignoring acknowledgement for another boat");
                return Ok(());
            }
            Err(e) => {
                tracing::warn!(error = %e, "ignoring malformed acknowledgement");
                return Ok(());
            }
        };
        if ack.stored.is_empty() && ack.rejected.is_empty() {
            // An answer to the boat's presence.
            self.latest_acked = self.latest_acked.max(self.twins.last_report());
            return Ok(());
        }
        self.acknowledge(ack.stored).await?;
        self.reject(ack.rejected).await
    }

    /// Deletes messages that shore has stored.
    async fn acknowledge(&mut self, stored: Vec<Acknowledged>) -> Result<(), UploadError> {
        if stored.is_empty() {
            return Ok(());
        }
        let keys: Vec<Key> = stored
            .into_iter()
            .map(|acked| Key {
                sighting: acked.sighting,
                part: acked.kind,
                revision: acked.revision,
            })
            .collect();
        let (keys, deleted) = self
            .with_queue(move |queue| {
                let deleted = queue.acknowledge(&keys)?;
                for key in &keys {
                    tracing::debug!(sighting = %key.sighting, part = ?key.part, "acknowledged");
                }
                Ok((keys, deleted))
            })
            .await?;
        for key in &keys {
            let bytes = self.answered(key);
            self.suspects.acknowledged(*key, bytes);
        }
        self.answers_arrive(deleted);
        self.counters.acknowledged(deleted as u64);
        Ok(())
    }

    /// Moves messages that shore rejects to the dead letters. Only a message in flight with the very
    /// bytes that were rejected is moved: anything else is a late or forged answer.
    async fn reject(&mut self, rejected: Vec<Rejected>) -> Result<(), UploadError> {
        let mut ours = vec![];
        for Rejected {
            kind,
            message,
            reason,
        } in rejected
        {
            let same = |(key, m): &(&Key, &InFlight)| key.part == kind && m.digest == message;
            match self.in_flight.iter().find(same) {
                Some((key, _)) => ours.push((*key, reason_of_rejection(&reason))),
                None => tracing::debug!(%message, "ignoring rejection of a message not in flight"),
            }
        }
        if ours.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let (ours, moved) = self
            .with_queue(move |queue| {
                let moved = queue.reject(&ours, now)?;
                Ok((ours, moved))
            })
            .await?;
        for (key, _) in &ours {
            self.answered(key);
            self.suspects.forget(key);
        }
        self.answers_arrive(moved);
        self.counters.rejected(moved as u64);
        Ok(())
    }

    /// Shore has answered a message. Returns its size, where it was in flight.
    fn answered(&mut self, key: &Key) -> Option<u64> {
        let message = self.in_flight.remove(key)?;
        let accepted = message.accepted.unwrap_or_else(Instant::now);
        self.latest_acked = self.latest_acked.max(Some(accepted));
        Some(message.bytes)
    }

    /// Shore answers; `settled` messages are not pending any more.
    fn answers_arrive(&mut self, settled: usize) {
        self.timeout_factor = 1;
        self.acked_since_timeout = true;
        self.last_progress = Instant::now();
        self.proved = true;
        if settled > 0 {
            // Messages really pass; a connection alone does not say so.
            self.backoff.reset();
        }
        self.outbox_failing = false;
    }

    /// Removes messages that timed out from those in flight, so that they are sent again. Returns those
    /// that can never be sent, with the reason.
    fn expire(&mut self) -> Result<Vec<(Key, String)>, UploadError> {
        let now = Instant::now();
        let timeout = self.settings.ack_timeout * self.timeout_factor;
        let timed_out = |m: &InFlight| m.accepted.is_some_and(|t| now - t >= timeout);
        let expired: Vec<(Key, InFlight)> =
            self.in_flight.extract_if(|_, m| timed_out(m)).collect();
        let mut unsendable = vec![];
        if !expired.is_empty() {
            tracing::debug!(
                messages = expired.len(),
                "acknowledgements timed out; retrying"
            );
            self.counters.retried(expired.len() as u64);
            self.timeout_factor = if self.acked_since_timeout {
                1
            } else {
                (self.timeout_factor * 2).min(MAX_TIMEOUT_FACTOR)
            };
            self.acked_since_timeout = false;
            self.last_progress = now;
        }
        for (key, message) in expired {
            if self.latest_acked > message.accepted
                && let Some(reason) = self.suspects.unanswered(key, message.bytes)
            {
                unsendable.push((key, reason));
            }
        }
        let waiting = self.in_flight.values().any(|m| m.accepted.is_none());
        let stalled = self.settings.ack_timeout * STALLED_TIMEOUTS;
        if waiting && now - self.last_progress >= stalled {
            let why = format!("it accepted nothing for {} s", stalled.as_secs());
            return Err(self.disconnected(LinkError::new(why)));
        }
        Ok(unsendable)
    }

    /// Sends as many messages as the window allows: suspected ones singly, then the others, then those
    /// that shore did not acknowledge, then those that a connection ended on.
    async fn fill_window(&mut self) -> Result<(), UploadError> {
        if self
            .in_flight
            .values()
            .any(|m| m.alone && m.accepted.is_none())
        {
            return Ok(());
        }
        while self.suspects.any_unexamined() {
            let next = self.suspects.next_unexamined();
            let next = next.filter(|_| self.all_accepted());
            let Some((key, bytes)) = next else {
                return Ok(());
            };
            if let Sent::Full = self.send(key, bytes, true).await? {
                return Ok(());
            }
        }
        let room = self.settings.window.saturating_sub(self.in_flight.len());
        if room == 0 || self.bytes_in_flight() >= MAX_BYTES_IN_FLIGHT {
            return Ok(());
        }
        let excluded = self.suspects.with(self.in_flight.keys().copied());
        let pending = self
            .with_queue(move |queue| queue.next(&excluded, room))
            .await?;
        for Pending { key, bytes } in pending {
            if !self.has_room(bytes) {
                break;
            }
            if let Sent::Full = self.send(key, bytes, false).await? {
                return Ok(());
            }
        }
        let none_unanswered = !self
            .in_flight
            .keys()
            .any(|k| self.suspects.is_unanswered(k));
        if none_unanswered
            && let Some((key, bytes)) = self.suspects.next_unanswered()
            && self.has_room(bytes)
        {
            self.send(key, bytes, false).await?;
        }
        let proved = self.proved || self.connected_at.elapsed() >= PROOF_TIMEOUT;
        if proved
            && self.all_accepted()
            && let Some((key, bytes)) = self.suspects.next_held()
        {
            self.send(key, bytes, true).await?;
        }
        Ok(())
    }

    fn all_accepted(&self) -> bool {
        self.in_flight.values().all(|m| m.accepted.is_some())
    }

    fn bytes_in_flight(&self) -> u64 {
        self.in_flight.values().map(|m| m.bytes).sum()
    }

    /// Whether a message of this size may be sent, too.
    fn has_room(&self, bytes: u64) -> bool {
        let in_flight = self.bytes_in_flight();
        let fits = in_flight == 0 || in_flight + bytes <= MAX_BYTES_IN_FLIGHT;
        fits && self.in_flight.len() < self.settings.window
    }

    async fn send(&mut self, key: Key, bytes: u64, alone: bool) -> Result<Sent, UploadError> {
        let Some((topic, message)) = self.load(key).await? else {
            self.suspects.forget(&key);
            return Ok(Sent::Gone);
        };
        if self.all_accepted() {
            self.last_progress = Instant::now();
        }
        let digest = MessageDigest::of(&message);
        let sent = self.uplink.send(key, &topic, message);
        if !sent.map_err(|e| self.disconnected(e))? {
            return Ok(Sent::Full);
        }
        self.counters.sent(1);
        self.in_flight.insert(
            key,
            InFlight {
                bytes,
                digest,
                alone,
                accepted: None,
            },
        );
        Ok(Sent::Yes)
    }

    /// Topic and content of a message; `None` where it is acknowledged already, or has become a
    /// dead letter.
    async fn load(&mut self, key: Key) -> Result<Option<(String, Vec<u8>)>, UploadError> {
        let now = self.clock.now();
        self.with_queue(move |queue| {
            Ok(match queue.load(key)? {
                Load::Message(message) => {
                    Some((topic::of_message(queue.boat(), key.part), message))
                }
                Load::AlreadyAcknowledged => None,
                Load::Unsendable(reason) => {
                    queue.move_to_dead_letters(key, &reason, now)?;
                    None
                }
            })
        })
        .await
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

/// What the dead letter says.
fn reason_of_rejection(reason: &str) -> String {
    let reason = one_line(reason, MAX_REASON_BYTES);
    format!(
        "shore rejected it: {reason}. Once the cause is removed, run `flukewatch-edge outbox --resend`"
    )
}

#[cfg(test)]
mod tests;
