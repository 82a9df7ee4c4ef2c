//! Sends the outbox's messages to shore.

use super::link::{LinkError, Uplink, UplinkEvent};
use crate::backoff::Backoff;
use crate::health::Counters;
use crate::outbox::{Key, Load, OutboxError, Pending, Queue};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::Ack;
use flukewatch_common::{topic, wire};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

/// The maximum size of the messages in flight, unless one message alone is larger. On a slow link,
/// pictures would otherwise delay the next sighting for minutes.
const MAX_BYTES_IN_FLIGHT: u64 = 1 << 20;
/// While shore acknowledges nothing at all, the timeout doubles up to this many times
/// `ack_timeout`.
const MAX_TIMEOUT_FACTOR: u32 = 16;
/// The uploader reconnects when the broker has accepted nothing for this many times `ack_timeout`.
const STALLED_TIMEOUTS: u32 = 10;

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
    /// Dates dead letters.
    pub clock: Arc<dyn Clock>,
    /// Counts sent and acknowledged messages.
    pub counters: Arc<Counters>,
    /// Notified of new messages.
    pub accepted: Arc<Notify>,
}

/// Sends pending messages and deletes them once shore acknowledges them. Dropping it at any time
/// loses nothing.
pub struct Uploader<U> {
    uplink: U,
    broker: String,
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
}

struct InFlight {
    bytes: u64,
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
    #[error("internal error: a thread of the outbox panicked")]
    Panicked,
}

impl<U: Uplink> Uploader<U> {
    /// An uploader that is not connected yet.
    pub fn new(parts: UploaderParts<U>) -> Self {
        Self {
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

    /// Runs until it is dropped. The first of several failures in a row is a warning, the others
    /// are logged at level debug.
    pub async fn run(mut self) {
        let mut warned = false;
        loop {
            let error = match self.upload().await {
                Err(error) => error.to_string(),
                Ok(never) => match never {},
            };
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

    /// One connection, from its start to its end.
    async fn upload(&mut self) -> Result<Infallible, UploadError> {
        self.in_flight.clear();
        self.timeout_factor = 1;
        self.uplink
            .connect()
            .await
            .map_err(|e| self.disconnected(e))?;
        tracing::info!(broker = self.broker, "broker connected");
        self.counters.set_connected(true);
        self.last_progress = Instant::now();
        let mut tick =
            tokio::time::interval((self.settings.ack_timeout / 4).min(Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let accepted = self.accepted.clone();
        loop {
            tokio::select! {
                event = self.uplink.event() => match event.map_err(|e| self.disconnected(e))? {
                    UplinkEvent::BrokerAccepted(key) => self.broker_accepted(key),
                    UplinkEvent::Ack(bytes) => {
                        let stored = self.acknowledge(&bytes).await;
                        self.tolerate_outbox(stored)?;
                        let sent = self.fill_window().await;
                        self.tolerate_outbox(sent)?;
                    }
                },
                () = accepted.notified() => {
                    let sent = self.fill_window().await;
                    self.tolerate_outbox(sent)?;
                }
                _ = tick.tick() => {
                    self.expire()?;
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

    fn broker_accepted(&mut self, key: Key) {
        let now = Instant::now();
        self.last_progress = now;
        if let Some(message) = self.in_flight.get_mut(&key) {
            message.accepted = Some(now);
        }
        self.backoff.reset();
    }

    async fn acknowledge(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let ack = match wire::decode::<Ack>(bytes) {
            Ok(ack) => ack,
            Err(e) => {
                tracing::warn!(error = %e, "ignoring malformed acknowledgement");
                return Ok(());
            }
        };
        let keys: Vec<Key> = ack
            .stored
            .into_iter()
            .map(|acked| Key {
                sighting: acked.sighting,
                part: acked.kind,
                revision: acked.revision,
            })
            .collect();
        let (ours, keys, deleted) = self
            .with_queue(move |queue| {
                let ours = ack.boat == *queue.boat();
                if !ours {
                    tracing::warn!(boat = %ack.boat, "ignoring acknowledgement for another boat");
                    return Ok((ours, keys, 0));
                }
                let deleted = queue.acknowledge(&keys)?;
                for key in &keys {
                    tracing::debug!(sighting = %key.sighting, part = ?key.part, "acknowledged");
                }
                Ok((ours, keys, deleted))
            })
            .await?;
        if !ours {
            return Ok(());
        }
        for key in &keys {
            self.in_flight.remove(key);
        }
        self.timeout_factor = 1;
        self.acked_since_timeout = true;
        self.last_progress = Instant::now();
        self.counters.acknowledged(deleted as u64);
        self.outbox_failing = false;
        Ok(())
    }

    /// Removes messages that timed out from those in flight, so that they are sent again.
    fn expire(&mut self) -> Result<(), UploadError> {
        let now = Instant::now();
        let timeout = self.settings.ack_timeout * self.timeout_factor;
        let before = self.in_flight.len();
        self.in_flight
            .retain(|_, m| m.accepted.is_none_or(|t| now - t < timeout));
        let expired = before - self.in_flight.len();
        if expired > 0 {
            tracing::debug!(messages = expired, "acknowledgements timed out; retrying");
            self.counters.retried(expired as u64);
            self.timeout_factor = if self.acked_since_timeout {
                1
            } else {
                (self.timeout_factor * 2).min(MAX_TIMEOUT_FACTOR)
            };
            self.acked_since_timeout = false;
            self.last_progress = now;
        }
        let waiting = self.in_flight.values().any(|m| m.accepted.is_none());
        let stalled = self.settings.ack_timeout * STALLED_TIMEOUTS;
        if waiting && now - self.last_progress >= stalled {
            let why = format!("it accepted nothing for {} s", stalled.as_secs());
            return Err(self.disconnected(LinkError(why)));
        }
        Ok(())
    }

    /// Sends as many messages as the window allows.
    async fn fill_window(&mut self) -> Result<(), UploadError> {
        let mut bytes: u64 = self.in_flight.values().map(|m| m.bytes).sum();
        let room = self.settings.window.saturating_sub(self.in_flight.len());
        if room == 0 || bytes >= MAX_BYTES_IN_FLIGHT {
            return Ok(());
        }
        let in_flight: HashSet<Key> = self.in_flight.keys().copied().collect();
        let pending = self
            .with_queue(move |queue| queue.next(&in_flight, room))
            .await?;
        for Pending { key, bytes: size } in pending {
            if bytes > 0 && bytes + size > MAX_BYTES_IN_FLIGHT {
                break;
            }
            let Some((topic, message)) = self.load(key).await? else {
                continue;
            };
            if self.in_flight.values().all(|m| m.accepted.is_some()) {
                self.last_progress = Instant::now();
            }
            let sent = self.uplink.send(key, &topic, message);
            if !sent.map_err(|e| self.disconnected(e))? {
                break;
            }
            self.counters.sent(1);
            self.in_flight.insert(
                key,
                InFlight {
                    bytes: size,
                    accepted: None,
                },
            );
            bytes += size;
        }
        Ok(())
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

#[cfg(test)]
mod tests;
