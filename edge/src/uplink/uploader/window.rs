//! What is sent next, within the window.

use super::load::LoadedMessage;
use super::{InFlight, UploadError, Uploader};
use crate::outbox::{Key, Pending};
use crate::uplink::link::Uplink;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::sighting::MessageKind;
use flukewatch_common::topic;
use std::time::Duration;
use tokio::time::Instant;

/// The maximum size of the messages in flight, unless one message alone is larger. On a slow link,
/// pictures would otherwise delay the next sighting for minutes.
const MAX_BYTES_IN_FLIGHT: u64 = 1 << 20;
/// A message that a connection ended on is sent once another one has passed, or after this time.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest brief with its envelope.
const BRIEF_BYTES: u64 = 180;

/// The result of an attempt to send.
enum Sent {
    Yes,
    /// It is not pending any more, or not for this link, or has to be planned again.
    Gone,
    /// The link's queue is full, or its budget is spent.
    Full,
}

impl<U: Uplink> Uploader<U> {
    /// Sends as many messages as the window allows: suspected ones singly, then the others, then those
    /// that shore did not acknowledge, then those that a connection ended on.
    pub(super) async fn fill_window(&mut self) -> Result<(), UploadError> {
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
        if self.meter.profile().identities_first && self.send_briefs(room).await? {
            return Ok(());
        }
        let room = self.settings.window.saturating_sub(self.in_flight.len());
        let carried = self.meter.carried(self.pictures.station_reads_parts());
        let mut excluded = self.suspects.with(self.in_flight.keys().copied());
        let max_whole = self.meter.profile().max_picture_bytes;
        excluded.extend(self.pictures.whole_above(max_whole));
        let pending = self
            .with_queue(move |queue| queue.next_carried(&excluded, room, carried))
            .await?;
        for Pending { key, bytes } in pending {
            if !self.has_room(self.plan(&key, bytes).bytes) {
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
            && self.has_room(self.plan(&key, bytes).bytes)
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

    /// Sends briefs of the sightings that are pending. Returns whether more of them have to go first.
    async fn send_briefs(&mut self, room: usize) -> Result<bool, UploadError> {
        let excluded = self.suspects.with(self.in_flight.keys().copied());
        let briefs = self
            .with_queue(move |queue| queue.next_briefs(&excluded, room))
            .await?;
        for key in briefs {
            let is_full = !self.has_room(BRIEF_BYTES)
                || matches!(self.send(key, BRIEF_BYTES, false).await?, Sent::Full);
            if is_full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn all_accepted(&self) -> bool {
        self.in_flight.values().all(|m| m.accepted.is_some())
    }

    fn bytes_in_flight(&self) -> u64 {
        self.in_flight.values().map(|m| m.bytes).sum()
    }

    /// Whether a message of this size may be sent, too.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let in_flight = self.bytes_in_flight();
        let fits = in_flight == 0 || in_flight + bytes <= MAX_BYTES_IN_FLIGHT;
        fits && self.in_flight.len() < self.settings.window
    }

    async fn send(&mut self, key: Key, bytes: u64, alone: bool) -> Result<Sent, UploadError> {
        let unanswered = self.in_flight.len();
        let planned = self.plan(&key, bytes);
        if !self.meter.carries(planned.kind, planned.bytes) {
            // To be sent over another link, and not in the way of others here.
            self.suspects.forget(&key);
            return Ok(Sent::Gone);
        }
        if !self.meter.permits(planned.kind, planned.bytes, unanswered) {
            return Ok(Sent::Full);
        }
        let Some(LoadedMessage {
            kind,
            bytes: message,
        }) = self.load(key, planned).await?
        else {
            return Ok(Sent::Gone);
        };
        if self.all_accepted() {
            self.last_progress = Instant::now();
        }
        let digest = MessageDigest::of(&message);
        let message_bytes = message.len() as u64;
        let topic = topic::of_message(&self.boat, kind);
        let sent = self.uplink.send(key, &topic, message);
        if !sent.map_err(|e| self.disconnected(e))? {
            return Ok(Sent::Full);
        }
        self.meter.sent(&topic, message_bytes);
        self.counters.sent(1);
        if kind == MessageKind::PicturePart {
            self.pictures.sent(&key, digest);
        }
        self.in_flight.insert(
            key,
            InFlight {
                kind,
                bytes: planned.bytes,
                digest,
                alone,
                accepted: None,
            },
        );
        Ok(Sent::Yes)
    }
}
