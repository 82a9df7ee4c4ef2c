//! What shore answers to the messages of a batch.

use crate::store::{IngestResult, Rejection};
use bytes::Bytes;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::sighting::{
    Ack, Acknowledged, BoatId, MAX_REASON_BYTES, MessageKind, Rejected,
};
use flukewatch_common::{picture_part, topic};
use std::collections::BTreeMap;

/// A message of a batch.
#[derive(Clone, Debug)]
pub(super) struct BatchMessage {
    pub(super) topic: String,
    /// Without its signature.
    pub(super) content: Bytes,
    /// Whether its boat is answered: not where anyone might have sent it.
    pub(super) authentic: bool,
}

/// For each boat an acknowledgement of its messages that were stored, and another one with those that
/// were rejected: a boat of an older version can read the former alone. A message that does not say
/// by its topic which boat sent it has no answer, and neither does one that is not authentic. Where
/// `bound`, an acknowledgement names the content that was stored.
pub(super) fn answers(
    messages: &[BatchMessage],
    results: Vec<IngestResult>,
    bound: bool,
) -> Vec<Ack> {
    let mut stored: BTreeMap<BoatId, Vec<Acknowledged>> = BTreeMap::new();
    let mut rejected: BTreeMap<BoatId, Vec<Rejected>> = BTreeMap::new();
    let authentic = messages.iter().zip(results).filter(|(m, _)| m.authentic);
    for (message, result) in authentic {
        match result {
            IngestResult::Stored {
                boat,
                id,
                kind,
                revision,
                ..
            } => stored.entry(boat).or_default().push(Acknowledged {
                sighting: id,
                kind,
                revision,
                message: bound.then(|| MessageDigest::of(&message.content)),
            }),
            IngestResult::PartStored {
                boat, id, received, ..
            } => {
                let part = MessageDigest::of(&message.content);
                let answer = picture_part::answer(id, received, part);
                stored.entry(boat).or_default().push(answer);
            }
            // Sent again, and perhaps stored then.
            IngestResult::Failed(_)
            | IngestResult::StatusStored
            | IngestResult::TransferStored { .. }
            | IngestResult::UnknownOffer { .. }
            | IngestResult::ChunkStored { .. }
            | IngestResult::UnknownRequest { .. }
            | IngestResult::NotStored => {}
            IngestResult::Quarantined {
                boat, id, revision, ..
            } => stored.entry(boat).or_default().push(Acknowledged {
                sighting: id,
                kind: MessageKind::Sighting,
                revision,
                message: bound.then(|| MessageDigest::of(&message.content)),
            }),
            IngestResult::Rejected(rejection) => {
                if let Some((boat, kind)) = topic::parse(&message.topic) {
                    rejected.entry(boat).or_default().push(Rejected {
                        kind,
                        message: MessageDigest::of(&message.content),
                        reason: reason(&rejection),
                    });
                }
            }
        }
    }
    let stored = stored.into_iter().map(|(boat, stored)| Ack {
        boat,
        stored,
        rejected: vec![],
    });
    let rejected = rejected.into_iter().map(|(boat, rejected)| Ack {
        boat,
        stored: vec![],
        rejected,
    });
    stored.chain(rejected).collect()
}

fn reason(rejection: &Rejection) -> String {
    let Rejection { reason, detail } = rejection;
    one_line(&format!("{reason}: {detail}"), MAX_REASON_BYTES)
}
