//! Writing one incoming message inside a transaction.

use super::error::StoreError;
use super::message::{
    Content, IncomingMessage, IngestResult, MessageMeta, RejectReason, Rejection,
};
use super::part_files::PartFiles;
use super::pictures::Pictures;
use super::received_files::ReceivedFiles;
use super::rejected::MAX_REJECTED_MESSAGES;
use super::write_chunk::store_chunk;
use super::{briefs, earlier_revisions, quarantine, sighting_rows, status_reports, transfer_rows};
use flukewatch_common::brief::Brief;
use flukewatch_common::bundle_transfer::TransferReport;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{BoatId, MessageKind, Sighting};
use flukewatch_common::status_report::StatusReport;
use rusqlite::{Transaction, params};
use std::cmp::Ordering;
use uuid::Uuid;

/// Writes messages into an open transaction.
pub(super) struct Writer<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) pictures: &'a Pictures,
    pub(super) parts: &'a PartFiles,
    pub(super) files: &'a ReceivedFiles,
    pub(super) now: Timestamp,
}

impl Writer<'_> {
    pub(super) fn apply(&self, message: &IncomingMessage) -> Result<IngestResult, StoreError> {
        let result = match &message.content {
            Ok(Content::Sighting(sighting)) => self.admit_sighting(sighting)?,
            Ok(Content::Picture {
                picture,
                sha256,
                readable,
            }) => self.store_picture(picture, sha256, *readable)?,
            Ok(Content::PicturePart(part)) => self.store_part(part)?,
            Ok(Content::Brief(brief)) => self.store_brief(brief)?,
            Ok(Content::Status(report)) => self.store_status(report, message.meta.retained)?,
            Ok(Content::Transfer(report)) => self.store_transfer(report)?,
            Ok(Content::Request(_)) => IngestResult::NotStored,
            Ok(Content::Chunk(chunk)) => store_chunk(self.tx, self.files, chunk, self.now)?,
            Err(rejection) => IngestResult::Rejected(rejection.clone()),
        };
        match &result {
            IngestResult::Stored { boat, .. }
            | IngestResult::PartStored { boat, .. }
            | IngestResult::ChunkStored { boat, .. }
            | IngestResult::TransferStored { boat, .. }
            | IngestResult::Quarantined { boat, .. } => self.touch_boat(boat, self.now)?,
            IngestResult::Failed(_)
            | IngestResult::StatusStored
            | IngestResult::UnknownOffer { .. }
            | IngestResult::UnknownRequest { .. }
            | IngestResult::NotStored => {}
            IngestResult::Rejected(rejection) => self.record_rejection(&message.meta, rejection)?,
        }
        Ok(result)
    }

    /// Stores a sighting, or keeps it in quarantine, unless a person has released it.
    fn admit_sighting(&self, sighting: &Sighting) -> Result<IngestResult, StoreError> {
        let Some(reason) = quarantine::implausible(self.tx, sighting.into(), self.now)? else {
            return self.store_sighting(sighting);
        };
        if sighting_rows::by_id(self.tx, sighting.id)?.is_some() {
            return self.store_sighting(sighting);
        }
        quarantine::put(self.tx, sighting, &reason, self.now)?;
        Ok(IngestResult::Quarantined {
            boat: sighting.boat.clone(),
            id: sighting.id,
            revision: sighting.revision,
            reason,
        })
    }

    /// Takes all revisions of a sighting out of quarantine. Returns how many there were.
    pub(super) fn release(&self, sighting: Uuid) -> Result<usize, StoreError> {
        let revisions = quarantine::revisions(self.tx, sighting)?;
        for sighting in &revisions {
            if let IngestResult::Stored { boat, .. } = self.store_sighting(sighting)? {
                self.touch_boat(&boat, self.now)?;
            }
        }
        quarantine::delete(self.tx, sighting)?;
        Ok(revisions.len())
    }

    fn store_sighting(&self, sighting: &Sighting) -> Result<IngestResult, StoreError> {
        let id = sighting.id;
        let stored = |duplicate| IngestResult::Stored {
            boat: sighting.boat.clone(),
            id,
            kind: MessageKind::Sighting,
            revision: sighting.revision,
            duplicate,
        };
        let Some(newest) = sighting_rows::by_id(self.tx, id)? else {
            sighting_rows::insert(self.tx, sighting, self.now)?;
            briefs::replace_by(self.tx, sighting)?;
            return Ok(stored(false));
        };
        if !sighting.is_revision_of(&newest.sighting) {
            return Ok(rejected(
                RejectReason::Conflict,
                format!(
                    "a sighting with id {id} and another boat, epoch, sequence number or picture is already stored"
                ),
            ));
        }
        let revision = sighting.revision;
        let received_before = match revision.cmp(&newest.sighting.revision) {
            Ordering::Less => earlier_revisions::get(self.tx, id, revision)?,
            Ordering::Equal => Some(newest.sighting.clone()),
            Ordering::Greater => None,
        };
        match received_before {
            Some(before) if before == *sighting => return Ok(stored(true)),
            Some(_) => {
                return Ok(rejected(
                    RejectReason::Conflict,
                    format!(
                        "a different sighting with id {id} and revision {revision} is already stored"
                    ),
                ));
            }
            None if revision < newest.sighting.revision => {
                earlier_revisions::insert(self.tx, sighting, self.now)?;
            }
            None => {
                earlier_revisions::insert(self.tx, &newest.sighting, newest.received)?;
                sighting_rows::replace(self.tx, sighting, self.now)?;
                briefs::replace_by(self.tx, sighting)?;
            }
        }
        Ok(stored(false))
    }

    /// Stores a brief, unless the sighting is there in its revision or a later one.
    fn store_brief(&self, brief: &Brief) -> Result<IngestResult, StoreError> {
        let id = brief.sighting;
        let stored = |duplicate| {
            Ok(IngestResult::Stored {
                boat: brief.boat.clone(),
                id,
                kind: MessageKind::Brief,
                revision: brief.revision,
                duplicate,
            })
        };
        let of_brief = (&brief.boat, brief.epoch, brief.sequence);
        let sighting = sighting_rows::by_id(self.tx, id)?.map(|stored| stored.sighting);
        let earlier = briefs::get(self.tx, id)?;
        let is_other = |of: (&BoatId, _, u64)| of != of_brief;
        if sighting
            .as_ref()
            .is_some_and(|s| is_other((&s.boat, s.epoch, s.sequence)))
            || earlier
                .as_ref()
                .is_some_and(|b| is_other((&b.boat, b.epoch, b.sequence)))
        {
            return Ok(rejected(
                RejectReason::Conflict,
                format!(
                    "a sighting with id {id} and another boat, epoch or sequence number is already stored"
                ),
            ));
        }
        let revisions = [sighting.map(|s| s.revision), earlier.map(|b| b.revision)];
        if revisions
            .into_iter()
            .flatten()
            .any(|known| known >= brief.revision)
        {
            return stored(true);
        }
        // Its sighting will be kept in quarantine.
        if quarantine::implausible(self.tx, brief.into(), self.now)?.is_none() {
            briefs::put(self.tx, brief, self.now)?;
        }
        stored(false)
    }

    fn store_status(
        &self,
        report: &StatusReport,
        retained: bool,
    ) -> Result<IngestResult, StoreError> {
        match &report.condition {
            Some(condition) => {
                // The clock of the boat may be wrong, but cannot be right about the future.
                let sent = condition.at.min(self.now);
                let received = if retained { sent } else { self.now };
                status_reports::put(self.tx, report, condition, retained, received)?;
                self.touch_boat(&report.boat, received)?;
            }
            None => status_reports::end_connection(self.tx, report, retained, self.now)?,
        }
        Ok(IngestResult::StatusStored)
    }

    fn store_transfer(&self, report: &TransferReport) -> Result<IngestResult, StoreError> {
        let (boat, offer) = (report.boat.clone(), report.offer);
        let after = transfer_rows::report(self.tx, report, self.now)?;
        Ok(match after {
            Some(after) => IngestResult::TransferStored {
                boat,
                offer,
                stage: after.stage,
            },
            None => IngestResult::UnknownOffer { boat, offer },
        })
    }

    /// Notes a message of `boat` that was received at `at`.
    fn touch_boat(&self, boat: &BoatId, at: Timestamp) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT INTO boats VALUES (?1, ?2, ?2) \
                 ON CONFLICT DO UPDATE SET last_seen = max(last_seen, ?2)",
            )?
            .execute(params![boat.as_str(), at.0])?;
        Ok(())
    }

    fn record_rejection(
        &self,
        meta: &MessageMeta,
        rejection: &Rejection,
    ) -> Result<(), StoreError> {
        let reason = rejection.reason.as_str();
        self.tx
            .prepare_cached(
                "INSERT INTO rejected_messages \
                     (reason, detail, topic, bytes, head, digest, count, first_seen, last_seen) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7) \
                 ON CONFLICT (digest, topic, reason) DO UPDATE SET count = count + 1, last_seen = ?7",
            )?
            .execute(params![
                reason,
                rejection.detail,
                meta.topic,
                meta.bytes.cast_signed(),
                meta.head,
                meta.digest,
                self.now.0
            ])?;
        self.tx
            .prepare_cached(
                "INSERT INTO rejected_totals VALUES (?1, 1) \
                 ON CONFLICT DO UPDATE SET total = total + 1",
            )?
            .execute([reason])?;
        self.tx
            .prepare_cached(
                "DELETE FROM rejected_messages WHERE number IN \
                     (SELECT number FROM rejected_messages \
                      ORDER BY last_seen DESC, number DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([MAX_REJECTED_MESSAGES])?;
        Ok(())
    }
}

fn rejected(reason: RejectReason, detail: String) -> IngestResult {
    IngestResult::Rejected(Rejection { reason, detail })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
