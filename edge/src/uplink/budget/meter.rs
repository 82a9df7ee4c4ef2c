//! Asks the budget for the messages of an uploader, and counts them.

use super::link_budget::LinkBudget;
use super::packet_size::PacketSize;
use super::priority::Priority;
use super::profile::LinkProfile;
use crate::outbox::Carried;
use flukewatch_common::link_class::LinkClass;
use flukewatch_common::sighting::{BoatId, MessageKind};
use flukewatch_common::topic;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An acknowledgement of one message with its envelope: the boat's name, and id, kind, revision and digest of the
/// message.
const ANSWER_BYTES: u64 = 11 + 33 + 1 + 17 + 1 + 5 + 17 + 1;

/// The sizes of a boat's messages, by topic.
pub(in crate::uplink) struct Meter {
    budget: Arc<LinkBudget>,
    size: PacketSize,
    boat: BoatId,
    /// When an idle connection was last probed.
    probed: Instant,
    /// How often it is.
    keep_alive: Duration,
}

impl Meter {
    pub(in crate::uplink) fn new(budget: Arc<LinkBudget>, size: PacketSize, boat: BoatId) -> Self {
        Self {
            budget,
            size,
            boat,
            probed: Instant::now(),
            keep_alive: Duration::MAX,
        }
    }

    pub(in crate::uplink) fn class(&self) -> LinkClass {
        self.budget.class()
    }

    pub(in crate::uplink) fn profile(&self) -> LinkProfile {
        self.budget.profile()
    }

    /// Whether bytes are counted at all, for callers that would have to do something for it.
    pub(in crate::uplink) fn is_limited(&self) -> bool {
        self.budget.bytes_per_hour().is_some()
    }

    /// Whether the link carries messages of this kind and size at all.
    pub(in crate::uplink) fn carries(&self, kind: MessageKind, bytes: u64) -> bool {
        let profile = self.profile();
        let fits = kind != MessageKind::Picture || bytes <= profile.max_picture_bytes;
        fits && profile.carries(Self::priority(kind))
    }

    /// The messages that the link carries.
    pub(in crate::uplink) fn carried(&self) -> Carried {
        let profile = self.profile();
        Carried {
            sightings: profile.carries(Priority::Sightings),
            pictures: profile.carries(Priority::Pictures),
            max_picture_bytes: profile.max_picture_bytes,
        }
    }

    /// Whether a message may be sent now, while shore has not answered `unanswered` others.
    pub(in crate::uplink) fn permits(
        &self,
        kind: MessageKind,
        bytes: u64,
        unanswered: usize,
    ) -> bool {
        self.carries(kind, bytes)
            && (!self.is_limited() || {
                let topic = topic::of_message(&self.boat, kind);
                let message = self.size.message(&topic, bytes, true);
                let answers = (unanswered as u64 + 1).saturating_mul(self.answer());
                self.budget.permits(Self::priority(kind), message + answers)
            })
    }

    /// A message was sent.
    pub(in crate::uplink) fn sent(&self, topic: &str, bytes: u64) {
        self.budget.spend(self.size.message(topic, bytes, true));
    }

    /// Spends a status report if it may be sent now.
    pub(in crate::uplink) fn take_status(&self, bytes: u64) -> bool {
        let topic = topic::of_status(&self.boat);
        let bytes = self.size.message(&topic, bytes, true);
        self.budget.take(Priority::Status, bytes)
    }

    /// Spends a presence if it may be sent now. The broker returns it.
    pub(in crate::uplink) fn take_presence(&self, bytes: u64) -> bool {
        let topic = topic::of_presence(&self.boat);
        let bytes = 2 * self.size.message(&topic, bytes, false);
        self.budget.take(Priority::Status, bytes)
    }

    /// An acknowledgement was received.
    pub(in crate::uplink) fn received_ack(&self, bytes: u64) {
        let topic = topic::of_acks(&self.boat);
        self.budget.spend(self.size.message(&topic, bytes, true));
    }

    /// Whether a connection may be made now.
    pub(in crate::uplink) fn permits_connection(&self, last_will: u64) -> bool {
        let bytes = self.connection(last_will);
        self.budget.permits(Priority::Status, bytes)
    }

    /// A connection was made.
    pub(in crate::uplink) fn connected(&mut self, last_will: u64) {
        self.budget.spend(self.connection(last_will));
        self.probed = Instant::now();
        self.keep_alive = self.profile().keep_alive;
    }

    /// Whether the connection is probed as often as the class of the link needs.
    pub(in crate::uplink) fn is_kept_alive_as_needed(&self) -> bool {
        self.keep_alive == self.profile().keep_alive
    }

    /// A connection could not be made.
    pub(in crate::uplink) fn failed_to_connect(&self) {
        self.budget.spend(self.size.failed_connection());
    }

    /// Counts the probes of an idle connection.
    pub(in crate::uplink) fn count_probes(&mut self) {
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
            MessageKind::Picture => Priority::Pictures,
            MessageKind::Brief => Priority::Identities,
        }
    }

    fn connection(&self, last_will: u64) -> u64 {
        let topic = topic::of_status(&self.boat);
        self.size.connection(&topic, last_will)
    }
}
