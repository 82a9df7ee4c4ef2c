//! Carries messages from the outbox to shore, as long as it takes.

use super::{LinkError, Uplink, UplinkEvent};
use crate::backoff::Backoff;
use crate::health::Counters;
use crate::outbox::{Key, Load, OutboxError, Queue, Queued};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::Receipt;
use flukewatch_common::{topic, wire};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

/// The most bytes that may be under way without a receipt, unless one message alone is larger. A thin link would otherwise hold
/// pictures for minutes before the next sighting's turn comes.
pub const MAX_BYTES_UNDER_WAY: u64 = 1 << 20;
/// While no receipt comes at all, messages are sent again ever more rarely, up to this many times `receipt_timeout` apart.
const MOST_PATIENCE: u32 = 16;
/// A link that takes nothing for this many times `receipt_timeout` is made anew.
const STALLED_AFTER: u32 = 10;

/// How a courier works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourierSettings {
    /// The most messages under way without a receipt.
    pub window: usize,
    /// A message that the broker has taken is sent again after this long without a receipt.
    pub receipt_timeout: Duration,
}

/// Sends what waits in the outbox and has it forgotten on shore's receipt. Dropping it at any moment loses nothing.
pub struct Courier<U> {
    uplink: U,
    broker: String,
    /// Away only while a blocking thread works with it.
    queue: Option<Queue>,
    settings: CourierSettings,
    backoff: Backoff,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    news: Arc<Notify>,
    under_way: HashMap<Key, UnderWay>,
    patience: u32,
    receipts_since_expiry: bool,
    last_progress: Instant,
    outbox_fails: bool,
}

struct UnderWay {
    bytes: u64,
    /// When the broker took it; before that the connection itself vouches for it.
    taken: Option<Instant>,
}

/// Why the courier has to start over.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no link to the broker {broker}: {source}")]
    Link { broker: String, source: LinkError },
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("a thread of the outbox died")]
    Thread,
}

impl<U: Uplink> Courier<U> {
    /// A courier over `uplink` to `broker` (as logs call it); `news` tells of new messages in `queue`.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of the boat, brought in from outside"
    )]
    pub fn new(
        uplink: U,
        broker: String,
        queue: Queue,
        settings: CourierSettings,
        backoff: Backoff,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        news: Arc<Notify>,
    ) -> Self {
        Self {
            uplink,
            broker,
            queue: Some(queue),
            settings,
            backoff,
            clock,
            counters,
            news,
            under_way: HashMap::new(),
            patience: 1,
            receipts_since_expiry: false,
            last_progress: Instant::now(),
            outbox_fails: false,
        }
    }

    /// Works until it is dropped. An error is reported once, however often it repeats, and so is the link's return.
    pub async fn run(mut self) {
        let mut told = false;
        loop {
            let trouble = match self.carry().await {
                Err(trouble) => trouble.to_string(),
                Ok(never) => match never {},
            };
            if self.counters.link_up() {
                told = false;
            }
            self.counters.set_link(false);
            self.counters.set_under_way(0);
            let wait = self.backoff.wait();
            if told {
                tracing::debug!("{trouble}; trying again in {} ms", wait.as_millis());
            } else {
                tracing::warn!(
                    "{trouble}. Sightings wait in the outbox; trying again until it works"
                );
                told = true;
            }
            if self.queue.is_none() {
                tracing::error!(
                    "the outbox cannot be sent from any more: restart flukewatch-edge; nothing in it is lost"
                );
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection, from its making to its end.
    async fn carry(&mut self) -> Result<std::convert::Infallible, Trouble> {
        self.under_way.clear();
        self.patience = 1;
        self.uplink.connect().await.map_err(|e| self.lost(e))?;
        tracing::info!("linked to the broker {}", self.broker);
        self.counters.set_link(true);
        self.last_progress = Instant::now();
        let mut tick =
            tokio::time::interval((self.settings.receipt_timeout / 4).min(Duration::from_secs(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let news = self.news.clone();
        loop {
            tokio::select! {
                event = self.uplink.event() => match event.map_err(|e| self.lost(e))? {
                    UplinkEvent::Taken(key) => self.taken(key),
                    UplinkEvent::Receipt(bytes) => {
                        let stored = self.receipt(&bytes).await;
                        self.bear(stored)?;
                        let sent = self.fill().await;
                        self.bear(sent)?;
                    }
                },
                () = news.notified() => {
                    let sent = self.fill().await;
                    self.bear(sent)?;
                }
                _ = tick.tick() => {
                    self.expire()?;
                    let sent = self.fill().await;
                    self.bear(sent)?;
                }
            }
            self.counters.set_under_way(self.under_way.len());
        }
    }

    /// A failing outbox is no reason to give the link up: what could not be done now is done again, and said once.
    fn bear(&mut self, done: Result<(), Trouble>) -> Result<(), Trouble> {
        let Err(Trouble::Outbox(e)) = done else {
            return done;
        };
        if !self.outbox_fails {
            tracing::warn!("{e}. Trying again");
        }
        self.outbox_fails = true;
        Ok(())
    }

    fn taken(&mut self, key: Key) {
        let now = Instant::now();
        self.last_progress = now;
        if let Some(message) = self.under_way.get_mut(&key) {
            message.taken = Some(now);
        }
        self.backoff.reset();
    }

    async fn receipt(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let receipt = match wire::decode::<Receipt>(bytes) {
            Ok(receipt) => receipt,
            Err(e) => {
                tracing::warn!("what came as a receipt is none and is ignored: {e}");
                return Ok(());
            }
        };
        let keys: Vec<Key> = receipt
            .stored
            .into_iter()
            .map(|(sighting, part)| Key { sighting, part })
            .collect();
        let (boat, forgotten) = self
            .with_queue(move |queue| {
                let ours = receipt.boat == *queue.boat();
                let forgotten = if ours { queue.receipted(&keys)? } else { 0 };
                for key in keys.iter().filter(|_| ours) {
                    tracing::debug!(sighting = %key.sighting, part = ?key.part, "shore has it");
                }
                Ok((receipt.boat, (ours, keys, forgotten)))
            })
            .await?;
        let (ours, keys, forgotten) = forgotten;
        if !ours {
            tracing::warn!("a receipt for the boat '{boat}' came here and is ignored");
            return Ok(());
        }
        for key in &keys {
            self.under_way.remove(key);
        }
        self.patience = 1;
        self.receipts_since_expiry = true;
        self.last_progress = Instant::now();
        self.counters.receipted(forgotten as u64);
        self.outbox_fails = false;
        Ok(())
    }

    /// Messages without a receipt for too long are no longer under way, and so will be sent again.
    fn expire(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        let timeout = self.settings.receipt_timeout * self.patience;
        let before = self.under_way.len();
        self.under_way
            .retain(|_, m| m.taken.is_none_or(|t| now - t < timeout));
        let expired = before - self.under_way.len();
        if expired > 0 {
            tracing::debug!(expired, "messages without a receipt are sent again");
            self.counters.resent(expired as u64);
            self.patience = if self.receipts_since_expiry {
                1
            } else {
                (self.patience * 2).min(MOST_PATIENCE)
            };
            self.receipts_since_expiry = false;
            self.last_progress = now;
        }
        let untaken = self.under_way.values().any(|m| m.taken.is_none());
        let stalled = self.settings.receipt_timeout * STALLED_AFTER;
        if untaken && now - self.last_progress >= stalled {
            let why = format!("it has taken nothing for {} s", stalled.as_secs());
            return Err(self.lost(LinkError(why)));
        }
        Ok(())
    }

    /// Sends as much as the window allows.
    async fn fill(&mut self) -> Result<(), Trouble> {
        let mut bytes: u64 = self.under_way.values().map(|m| m.bytes).sum();
        let room = self.settings.window.saturating_sub(self.under_way.len());
        if room == 0 || bytes >= MAX_BYTES_UNDER_WAY {
            return Ok(());
        }
        let under_way: HashSet<Key> = self.under_way.keys().copied().collect();
        let waiting = self
            .with_queue(move |queue| queue.next(&under_way, room))
            .await?;
        for Queued { key, bytes: size } in waiting {
            if bytes > 0 && bytes + size > MAX_BYTES_UNDER_WAY {
                break;
            }
            let now = self.clock.now();
            let loaded = self
                .with_queue(move |queue| {
                    let loaded = queue.load(key)?;
                    if let Load::Unsendable(reason) = &loaded {
                        tracing::error!(sighting = %key.sighting, part = ?key.part, "a message can never be sent and is kept as a dead letter: {reason}");
                        queue.bury(key, reason, now)?;
                    }
                    Ok((loaded, topic::of_part(queue.boat(), key.part)))
                })
                .await?;
            let (Load::Message(message), topic) = loaded else {
                continue;
            };
            if self.under_way.values().all(|m| m.taken.is_some()) {
                self.last_progress = Instant::now();
            }
            if !self
                .uplink
                .send(key, &topic, message)
                .map_err(|e| self.lost(e))?
            {
                break;
            }
            self.counters.sent(1);
            self.under_way.insert(
                key,
                UnderWay {
                    bytes: size,
                    taken: None,
                },
            );
            bytes += size;
        }
        Ok(())
    }

    fn lost(&self, source: LinkError) -> Trouble {
        Trouble::Link {
            broker: self.broker.clone(),
            source,
        }
    }

    /// Works with the queue on a thread that may block.
    async fn with_queue<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Queue) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let mut queue = self.queue.take().ok_or(Trouble::Thread)?;
        let (queue, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut queue);
            (queue, result)
        })
        .await
        .map_err(|_| Trouble::Thread)?;
        self.queue = Some(queue);
        Ok(result?)
    }
}

#[cfg(test)]
mod tests;
