//! The note of the bundle in use.

use super::MAX_ENDED;
use super::received_bundle::ReceivedBundle;
use crate::bounded_note::BoundedNote;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::bundle_transfer::TransferProgress;
use flukewatch_common::sighting::MAX_REASON_BYTES;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// The file in the folder of received bundles.
const NAME: &str = "in-use.json";
/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Which received bundle is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    /// The bundle in use; `None`: that of the configuration.
    pub(super) used: Option<ReceivedBundle>,
    /// The one before; `None`: that of the configuration.
    pub(super) previous: Option<ReceivedBundle>,
    /// The SHA-256 of the manifest of the configuration's bundle when the one in use was installed.
    pub(super) instead_of: Option<String>,
    /// While the bundle in use is on trial, the starts of the program that have not ended in order.
    pub(super) trial: Option<u32>,
    /// Offers that were rejected or rolled back, the latest first.
    pub(super) ended: Vec<EndedOffer>,
}

/// An offer that was rejected or rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndedOffer {
    pub(super) offer: Uuid,
    was_used: bool,
    reason: String,
}

impl EndedOffer {
    pub(super) fn rejected(offer: Uuid, reason: &str) -> Self {
        Self {
            offer,
            was_used: false,
            reason: one_line(reason, MAX_REASON_BYTES),
        }
    }

    pub(super) fn rolled_back(offer: Uuid, reason: &str) -> Self {
        Self {
            was_used: true,
            ..Self::rejected(offer, reason)
        }
    }

    /// What the boat reports of it.
    pub(super) fn progress(&self) -> TransferProgress {
        let reason = self.reason.clone();
        if self.was_used {
            TransferProgress::RolledBack { reason }
        } else {
            TransferProgress::Rejected { reason }
        }
    }
}

impl Note {
    /// Notes how an offer ended.
    pub(super) fn end(&mut self, offer: EndedOffer) {
        self.ended.retain(|ended| ended.offer != offer.offer);
        self.ended.insert(0, offer);
        self.ended.truncate(MAX_ENDED);
    }
}

/// The note's file in `folder`.
pub(super) fn note_file(folder: &Path) -> BoundedNote {
    BoundedNote::new(folder.join(NAME), MAX_BYTES)
}
