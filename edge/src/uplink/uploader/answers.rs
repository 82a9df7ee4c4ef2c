//! What shore answers, and what it does not.

use super::{InFlight, UploadError, Uploader};
use crate::outbox::{Key, Load, OutboxError, Queue};
use crate::uplink::link::{LinkError, Uplink};
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::sighting::{Ack, Acknowledged, MAX_REASON_BYTES, MessageKind, Rejected};
use flukewatch_common::wire;
use tokio::time::Instant;

/// While shore acknowledges nothing at all, the timeout doubles up to this many times
/// `ack_timeout`.
const MAX_TIMEOUT_FACTOR: u32 = 16;
/// The uploader reconnects when the broker has accepted nothing for this many times `ack_timeout`.
const STALLED_TIMEOUTS: u32 = 10;

impl<U: Uplink> Uploader<U> {
    /// Notes that the broker has a message.
    pub(super) fn broker_accepted(&mut self, key: Key) {
        let now = Instant::now();
        self.last_progress = now;
        self.proved = true;
        if self.pictures.is_late_acceptance(&key) {
            return;
        }
        if let Some(message) = self.in_flight.get_mut(&key) {
            message.accepted = Some(now);
            self.suspects.accepted(key, message.bytes);
        }
    }

    /// Settles what an acknowledgement is about.
    pub(super) async fn receive_ack(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
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
        let is_of_part = |a: &Acknowledged| a.kind == MessageKind::PicturePart;
        let (parts, stored) = ack.stored.into_iter().partition(is_of_part);
        self.parts_answered(parts);
        self.acknowledge(stored).await?;
        self.reject(ack.rejected).await
    }

    fn bound_ack(&self, acknowledged: Acknowledged) -> BoundAck {
        let key = Key {
            sighting: acknowledged.sighting,
            part: acknowledged.kind,
            revision: acknowledged.revision,
        };
        let in_flight = self.in_flight.get(&key);
        let in_parts = in_flight.is_some_and(|m| m.kind == MessageKind::PicturePart);
        BoundAck {
            key,
            stored: acknowledged.message,
            sent: in_flight.map(|message| message.digest),
            in_parts,
            latest_part: self.pictures.latest(&key),
            piece_bytes: self.meter.profile().piece_bytes,
        }
    }

    /// Notes how much shore has of pictures, where it answers the parts in flight. Any other answer is late or forged.
    fn parts_answered(&mut self, parts: Vec<Acknowledged>) {
        for part in parts {
            let key = Key {
                sighting: part.sighting,
                part: MessageKind::Picture,
                revision: 0,
            };
            let in_flight = self.in_flight.get(&key);
            let in_flight = in_flight.filter(|message| {
                message.kind == MessageKind::PicturePart && Some(message.digest) == part.message
            });
            let Some(was_accepted) = in_flight.map(|message| message.accepted.is_some()) else {
                tracing::debug!(sighting = %part.sighting, "ignoring answer to a part not in flight");
                continue;
            };
            let bytes = self.answered(&key);
            self.suspects.acknowledged(key, bytes);
            self.pictures.answered(&key, part.revision, was_accepted);
            self.counters.acknowledged(1);
            self.answers_arrive(1);
        }
    }

    /// Deletes messages that shore has stored.
    async fn acknowledge(&mut self, stored: Vec<Acknowledged>) -> Result<(), UploadError> {
        if stored.is_empty() {
            return Ok(());
        }
        let bound = self.settings.bound_acks;
        let acknowledged: Vec<BoundAck> = stored.into_iter().map(|a| self.bound_ack(a)).collect();
        let (keys, deleted, other) = self
            .with_queue(move |queue| {
                let mut keys = vec![];
                let mut other = 0u64;
                for ack in acknowledged {
                    let content = match bound {
                        true => ack.content(queue)?,
                        false => AckedContent::Own,
                    };
                    match content {
                        AckedContent::Own => keys.push(ack.key),
                        AckedContent::Other => other += 1,
                        AckedContent::Unknown => {}
                    }
                }
                let deleted = queue.acknowledge(&keys)?;
                for key in &keys {
                    tracing::debug!(sighting = %key.sighting, part = ?key.part, "acknowledged");
                }
                Ok((keys, deleted, other))
            })
            .await?;
        for _ in 0..other {
            self.counters.invalid_signature();
        }
        if other > 0 {
            tracing::warn!(
                messages = other,
                "ignoring acknowledgements of other content than this boat's"
            );
        }
        for key in &keys {
            let bytes = self.answered(key);
            self.suspects.acknowledged(*key, bytes);
            self.pictures.forget(key);
        }
        self.answers_arrive(deleted);
        self.counters.acknowledged(deleted as u64);
        Ok(())
    }

    /// Moves messages that shore rejects to the dead letters. Only a message in flight with the very
    /// bytes that were rejected is moved: anything else is a late or forged answer. The picture of a rejected part is
    /// sent whole.
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
                Some((key, m)) if m.kind == MessageKind::PicturePart => {
                    let (key, was_accepted) = (*key, m.accepted.is_some());
                    self.answered(&key);
                    self.suspects.forget(&key);
                    self.pictures.rejected(&key, &reason, was_accepted);
                    self.answers_arrive(0);
                }
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
            self.pictures.forget(key);
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
    pub(super) fn expire(&mut self) -> Result<Vec<(Key, String)>, UploadError> {
        let now = Instant::now();
        let ack_timeout = self.ack_timeout();
        let timeout = ack_timeout * self.timeout_factor;
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
                if message.kind == MessageKind::PicturePart {
                    self.pictures.send_whole(&key);
                } else {
                    unsendable.push((key, reason));
                }
            }
        }
        let waiting = self.in_flight.values().any(|m| m.accepted.is_none());
        let stalled = ack_timeout * STALLED_TIMEOUTS;
        if waiting && now - self.last_progress >= stalled {
            let why = format!("it accepted nothing for {} s", stalled.as_secs());
            return Err(self.disconnected(LinkError::new(why)));
        }
        Ok(unsendable)
    }
}

/// An acknowledgement of a message.
struct BoundAck {
    key: Key,
    /// The content that shore has stored, if it says so.
    stored: Option<MessageDigest>,
    /// The content that is in flight.
    sent: Option<MessageDigest>,
    /// Whether that is a part of a picture.
    in_parts: bool,
    /// The part of the picture that was sent last, perhaps on an earlier connection.
    latest_part: Option<MessageDigest>,
    /// A picture whose message is larger goes in parts.
    piece_bytes: u32,
}

/// Of which content an acknowledgement is.
enum AckedContent {
    /// That which the boat has under this key.
    Own,
    /// Another one.
    Other,
    /// Perhaps an earlier part of the picture. Shore acknowledges it again.
    Unknown,
}

impl BoundAck {
    /// A message that was sent on an earlier connection is read again; what is not pending any more cannot be deleted.
    fn content(&self, queue: &Queue) -> Result<AckedContent, OutboxError> {
        let Some(stored) = self.stored else {
            return Ok(AckedContent::Other);
        };
        if let Some(sent) = self.sent {
            return Ok(match sent == stored {
                true => AckedContent::Own,
                false if self.in_parts => AckedContent::Unknown,
                false => AckedContent::Other,
            });
        }
        if self.latest_part == Some(stored) {
            return Ok(AckedContent::Own);
        }
        Ok(match queue.load(self.key)? {
            Load::Message(message) if MessageDigest::of(&message) == stored => AckedContent::Own,
            Load::Message(message)
                if self.key.part == MessageKind::Picture
                    && message.len() > self.piece_bytes as usize =>
            {
                AckedContent::Unknown
            }
            Load::Message(_) => AckedContent::Other,
            Load::AlreadyAcknowledged | Load::Unsendable(_) => AckedContent::Own,
        })
    }
}

/// What the dead letter says.
fn reason_of_rejection(reason: &str) -> String {
    let reason = one_line(reason, MAX_REASON_BYTES);
    format!(
        "shore rejected it: {reason}. Once the cause is removed, run `flukewatch-edge outbox --resend`"
    )
}
