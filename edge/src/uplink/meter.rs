//! Asks the budget for the messages of an uploader, and counts them.

use crate::link_budget::{LinkBudget, LinkProfile, PacketSize, Priority};
use crate::outbox::Carried;
use flukewatch_common::file_transfer::EncounterFile;
use flukewatch_common::link_class::LinkClass;
use flukewatch_common::sighting::{BoatId, MessageKind};
use flukewatch_common::topic;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An acknowledgement of one message with its envelope: the boat's name, and id, kind, revision and digest of the
/// message.
const ANSWER_BYTES: u64 = 11 + 33 + 1 + 17 + 1 + 5 + 17 + 1;

/// A request for a piece of a bundle with its envelope, at most.
const REQUEST_BYTES: u64 = 110;
/// What a message with a piece of a bundle holds besides the piece, at most.
const PIECE_OVERHEAD: u64 = 100;

/// What a message with a chunk of a file holds besides the chunk, at most.
const CHUNK_OVERHEAD: u64 = 130;
/// A command with one file.
const COMMAND_BYTES: u64 = 130;

/// The sizes of a boat's messages, by topic.
pub(super) struct Meter {
    budget: Arc<LinkBudget>,
    size: PacketSize,
    boat: BoatId,
    /// When an idle connection was last probed.
    probed: Instant,
    /// How often it is.
    keep_alive: Duration,
}

impl Meter {
    pub(super) fn new(budget: Arc<LinkBudget>, size: PacketSize, boat: BoatId) -> Self {
        Self {
            budget,
            size,
            boat,
            probed: Instant::now(),
            keep_alive: Duration::MAX,
        }
    }

    pub(super) fn class(&self) -> LinkClass {
        self.budget.class()
    }

    pub(super) fn profile(&self) -> LinkProfile {
        self.budget.profile()
    }

    /// Whether bytes are counted at all, for callers that would have to do something for it.
    pub(super) fn is_limited(&self) -> bool {
        self.budget.bytes_per_hour().is_some()
    }

    /// Whether the link carries messages of this kind and size at all. A part of a picture may have any.
    pub(super) fn carries(&self, kind: MessageKind, bytes: u64) -> bool {
        let profile = self.profile();
        let fits = kind != MessageKind::Picture || bytes <= profile.max_picture_bytes;
        fits && profile.carries(Self::priority(kind))
    }

    /// The messages that the link carries; `in_parts` says whether large pictures go in parts.
    pub(super) fn carried(&self, in_parts: bool) -> Carried {
        let profile = self.profile();
        Carried {
            sightings: profile.carries(Priority::Sightings),
            pictures: profile.carries(Priority::Pictures),
            max_picture_bytes: if in_parts {
                u64::MAX
            } else {
                profile.max_picture_bytes
            },
        }
    }

    /// Whether a message may be sent now, while shore has not answered `unanswered` others.
    pub(super) fn permits(&self, kind: MessageKind, bytes: u64, unanswered: usize) -> bool {
        self.carries(kind, bytes)
            && (!self.is_limited() || {
                let topic = topic::of_message(&self.boat, kind);
                let message = self.size.message(&topic, bytes, true);
                let answers = (unanswered as u64 + 1).saturating_mul(self.answer());
                self.budget.permits(Self::priority(kind), message + answers)
            })
    }

    /// A message was sent.
    pub(super) fn sent(&self, topic: &str, bytes: u64) {
        self.budget.spend(self.size.message(topic, bytes, true));
    }

    /// Spends a status report if it may be sent now.
    pub(super) fn take_status(&self, bytes: u64) -> bool {
        let topic = topic::of_status(&self.boat);
        let bytes = self.size.message(&topic, bytes, true);
        self.budget.take(Priority::Status, bytes)
    }

    /// Spends a presence if it may be sent now. The broker returns it.
    pub(super) fn take_presence(&self, bytes: u64) -> bool {
        let topic = topic::of_presence(&self.boat);
        let bytes = 2 * self.size.message(&topic, bytes, false);
        self.budget.take(Priority::Status, bytes)
    }

    /// An acknowledgement was received.
    pub(super) fn received_ack(&self, bytes: u64) {
        let topic = topic::of_acks(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// The size of the pieces of a bundle that may be requested now; 0 where none may.
    pub(super) fn bundle_piece(&self) -> u32 {
        let profile = self.profile();
        let bytes = profile.piece_bytes;
        let permitted = profile.carries(Priority::Bundles)
            && (!self.is_limited()
                || self
                    .budget
                    .permits(Priority::Bundles, self.piece(REQUEST_BYTES, bytes)));
        if permitted { bytes } else { 0 }
    }

    /// Spends a request for a piece of a bundle, and the piece, if they may be sent now.
    pub(super) fn take_request(&self, bytes: u64, piece: u32) -> bool {
        !self.is_limited()
            || self
                .budget
                .take(Priority::Bundles, self.piece(bytes, piece))
    }

    /// A report about a bundle was sent.
    pub(super) fn sent_report(&self, bytes: u64) {
        let topic = topic::of_requests(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// A bundle was offered.
    pub(super) fn received_offer(&self, bytes: u64) {
        let topic = topic::of_offer(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// Settings arrived.
    pub(super) fn received_settings(&self, bytes: u64) {
        let topic = topic::of_settings(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// A request of so many bytes for a piece of so many, and the piece.
    fn piece(&self, request: u64, piece: u32) -> u64 {
        let request = self
            .size
            .message(&topic::of_requests(&self.boat), request, true);
        let content = u64::from(piece) + PIECE_OVERHEAD;
        let topic = topic::of_content(&self.boat);
        request + self.size.message(&topic, content, false)
    }

    /// The size of the chunks of a requested file that may be sent now; 0 where none may. `over_any_link`, where the
    /// link carries no files otherwise.
    pub(super) fn file_chunk(&self, file: EncounterFile, over_any_link: bool) -> u32 {
        let priority = match file {
            EncounterFile::Clip => Priority::Clips,
            EncounterFile::Crops => Priority::Crops,
        };
        let profile = self.profile();
        let bytes = profile.piece_bytes;
        let is_carried = over_any_link || profile.carries(priority);
        let permitted = is_carried
            && (!self.is_limited() || {
                let chunk = u64::from(bytes) + CHUNK_OVERHEAD;
                let chunk = self
                    .size
                    .message(&topic::of_chunks(&self.boat), chunk, true);
                let answer = topic::of_commands(&self.boat);
                let answer = self.size.message(&answer, COMMAND_BYTES, true);
                self.budget.affords(priority, chunk + answer)
            });
        if permitted { bytes } else { 0 }
    }

    /// A command was received.
    pub(super) fn received_command(&self, bytes: u64) {
        let topic = topic::of_commands(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// A message that shore has not answered after this time is sent again; `least` where the link is fast.
    pub(super) fn ack_timeout(&self, least: Duration) -> Duration {
        least.max(self.profile().min_ack_timeout)
    }

    /// Whether a connection may be made now.
    pub(super) fn permits_connection(&self, last_will: u64) -> bool {
        let bytes = self.connection(last_will);
        self.budget.permits(Priority::Status, bytes)
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, last_will: u64) {
        self.budget.spend(self.connection(last_will));
        self.probed = Instant::now();
        self.keep_alive = self.profile().keep_alive;
    }

    /// Whether the connection is probed as often as the class of the link needs.
    pub(super) fn is_kept_alive_as_needed(&self) -> bool {
        self.keep_alive == self.profile().keep_alive
    }

    /// A connection could not be made.
    pub(super) fn failed_to_connect(&self) {
        self.budget.spend(self.size.failed_connection());
    }

    /// Counts the probes of an idle connection.
    pub(super) fn count_probes(&mut self) {
        if self.probed.elapsed() >= self.keep_alive {
            self.probed = Instant::now();
            self.budget.spend(self.size.probe());
        }
    }

    /// An acknowledgement of one message.
    fn answer(&self) -> u64 {
        let topic = topic::of_acks(&self.boat);
        self.size.message(&topic, ANSWER_BYTES, true)
    }

    fn priority(kind: MessageKind) -> Priority {
        match kind {
            MessageKind::Sighting => Priority::Sightings,
            MessageKind::Picture | MessageKind::PicturePart => Priority::Pictures,
            MessageKind::Brief => Priority::Identities,
        }
    }

    fn connection(&self, last_will: u64) -> u64 {
        let topic = topic::of_status(&self.boat);
        self.size.connection(&topic, last_will)
    }
}
