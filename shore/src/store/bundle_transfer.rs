//! A bundle that was offered to a boat, and what became of it.

use flukewatch_common::bundle_transfer::{ContentId, TransferProgress};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use uuid::Uuid;

/// How many transfers of a boat are listed.
pub const MAX_TRANSFERS: usize = 10;

/// The largest number of bytes that a transfer can have: the largest integer that every JSON reader
/// represents exactly.
pub const MAX_TRANSFER_BYTES: u64 = (1 << 53) - 1;

/// An offer of a bundle to a boat, as the store records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedOffer {
    /// The offer's id.
    pub id: Uuid,
    /// The boat.
    pub boat: BoatId,
    /// The bundle's manifest.
    pub manifest: ContentId,
    /// The bundle's name.
    pub name: String,
    /// The version of the bundle's signature; `None` where it is not signed.
    pub version: Option<u64>,
    /// When it was offered.
    pub offered_at: Timestamp,
}

/// An offer, and what the boat has reported of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleTransfer {
    /// What was offered.
    pub offer: RecordedOffer,
    /// When the offer was withdrawn or replaced by another one, if it was before the boat had dealt with
    /// it.
    pub withdrawn_at: Option<Timestamp>,
    /// How far it is.
    pub stage: TransferStage,
    /// When the station received the first report of this stage; when the bundle was offered where the
    /// boat has not reported yet.
    pub since: Timestamp,
    /// The last report; `None` where the boat has not reported yet.
    pub reported: Option<ReportTimes>,
    /// Bytes that have arrived and bytes that have to be transferred, as far as the boat has reported
    /// them.
    pub bytes: Option<TransferredBytes>,
    /// Why the bundle is not used, in one line.
    pub reason: Option<String>,
}

/// When a boat reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportTimes {
    /// When the report was received, by the station's clock.
    pub received: Timestamp,
    /// When it was made, by the boat's clock.
    pub boat: Timestamp,
}

/// How much of a bundle has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferredBytes {
    /// Bytes that have arrived.
    pub received: u64,
    /// Bytes that have to be transferred: what the bundles aboard do not hold.
    pub total: u64,
}

/// How far a bundle is on a boat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStage {
    /// The boat has not reported yet.
    Offered,
    /// It is being received.
    Receiving,
    /// It is complete, and its self-test runs.
    Testing,
    /// It is in use, and is observed for the first minutes.
    OnTrial,
    /// It is in use.
    Active,
    /// It is not used.
    Rejected,
    /// It was in use, and the boat has returned to the bundle before it.
    RolledBack,
}

impl TransferStage {
    const ALL: [Self; 7] = [
        Self::Offered,
        Self::Receiving,
        Self::Testing,
        Self::OnTrial,
        Self::Active,
        Self::Rejected,
        Self::RolledBack,
    ];

    /// That of a report.
    pub fn of(progress: &TransferProgress) -> Self {
        match progress {
            TransferProgress::Receiving { .. } => Self::Receiving,
            TransferProgress::Testing => Self::Testing,
            TransferProgress::OnTrial => Self::OnTrial,
            TransferProgress::Active => Self::Active,
            TransferProgress::Rejected { .. } => Self::Rejected,
            TransferProgress::RolledBack { .. } => Self::RolledBack,
        }
    }

    /// The name in database and API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Receiving => "receiving",
            Self::Testing => "testing",
            Self::OnTrial => "on_trial",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The stage with this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// Whether the boat has dealt with the offer.
    pub fn is_final(self) -> bool {
        match self {
            Self::Offered | Self::Receiving | Self::Testing | Self::OnTrial => false,
            Self::Active | Self::Rejected | Self::RolledBack => true,
        }
    }

    /// Whether all bytes have arrived.
    pub(super) fn is_complete(self) -> bool {
        match self {
            Self::Testing | Self::OnTrial | Self::Active | Self::RolledBack => true,
            Self::Offered | Self::Receiving | Self::Rejected => false,
        }
    }
}

impl BundleTransfer {
    /// One that the boat has not reported on.
    pub fn new(offer: RecordedOffer) -> Self {
        Self {
            withdrawn_at: None,
            stage: TransferStage::Offered,
            since: offer.offered_at,
            reported: None,
            bytes: None,
            reason: None,
            offer,
        }
    }

    /// Whether the offer stands: the boat has not dealt with it, and it was not withdrawn.
    pub fn is_open(&self) -> bool {
        self.withdrawn_at.is_none() && !self.stage.is_final()
    }

    /// Whether the offer was withdrawn or replaced before the boat had dealt with it.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn_at.is_some() && !self.stage.is_final()
    }

    /// This transfer after a report that was received at `now`; `None` where the report is older than
    /// what is known.
    #[must_use]
    pub(super) fn reported(
        &self,
        progress: &TransferProgress,
        at: Timestamp,
        now: Timestamp,
    ) -> Option<Self> {
        let stage = TransferStage::of(progress);
        // A broker may repeat a report. Before the end the order does not matter: the next one corrects it.
        let is_late = self.reported.is_some_and(|known| at <= known.boat);
        if self.stage.is_final() && (!stage.is_final() || is_late) {
            return None;
        }
        let bytes = match progress {
            TransferProgress::Receiving { received, total } => Some(TransferredBytes {
                received: *received,
                total: *total,
            }),
            _ if stage.is_complete() => self.bytes.map(|known| TransferredBytes {
                received: known.total,
                ..known
            }),
            _ => self.bytes,
        };
        let reason = match progress {
            TransferProgress::Rejected { reason } | TransferProgress::RolledBack { reason } => {
                Some(reason.clone())
            }
            _ => None,
        };
        Some(Self {
            offer: self.offer.clone(),
            withdrawn_at: self.withdrawn_at,
            stage,
            since: if stage == self.stage { self.since } else { now },
            reported: Some(ReportTimes {
                received: now,
                boat: at,
            }),
            bytes,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered() -> BundleTransfer {
        BundleTransfer::new(RecordedOffer {
            id: Uuid::from_u128(1),
            boat: "balaena".parse().unwrap(),
            manifest: ContentId::of(b"manifest"),
            name: "azores".into(),
            version: Some(3),
            offered_at: Timestamp(1),
        })
    }

    fn receiving(received: u64) -> TransferProgress {
        TransferProgress::Receiving { received, total: 9 }
    }

    #[test]
    fn every_stage_has_a_name_of_its_own() {
        for stage in TransferStage::ALL {
            assert_eq!(TransferStage::parse(stage.as_str()), Some(stage));
        }
        assert_eq!(TransferStage::parse("Active"), None);
    }

    #[test]
    fn a_stage_begins_with_its_first_report() {
        let report = |of: &BundleTransfer, progress, time| {
            let (at, now) = (Timestamp(time + 1000), Timestamp(time));
            of.reported(&progress, at, now).unwrap()
        };
        let first = report(&offered(), receiving(2), 10);
        let second = report(&first, receiving(5), 20);
        assert_eq!(
            (second.since, second.stage),
            (Timestamp(10), TransferStage::Receiving)
        );
        let bytes = |received| Some(TransferredBytes { received, total: 9 });
        assert_eq!((first.bytes, second.bytes), (bytes(2), bytes(5)));
        let active = report(&second, TransferProgress::Active, 30);
        assert_eq!((active.since, active.bytes), (Timestamp(30), bytes(9)));
        let (received, boat) = (Timestamp(30), Timestamp(1030));
        assert_eq!(active.reported, Some(ReportTimes { received, boat }));
        // What is rejected need not have arrived.
        let reason = "not signed".to_owned();
        let rejected = report(&second, TransferProgress::Rejected { reason }, 30);
        assert_eq!(rejected.bytes, bytes(5));
        assert_eq!(rejected.reason.as_deref(), Some("not signed"));
        assert!(!rejected.is_open() && second.is_open());
    }

    #[test]
    fn a_repeated_report_does_not_undo_the_end() {
        let report = |of: &BundleTransfer, progress: &TransferProgress, at| {
            of.reported(progress, Timestamp(at), Timestamp(50))
        };
        let active = report(&offered(), &TransferProgress::Active, 30).unwrap();
        for (late, at) in [
            (receiving(9), 40),
            (TransferProgress::OnTrial, 40),
            (TransferProgress::Active, 30),
        ] {
            assert_eq!(report(&active, &late, at), None, "{late:?}");
        }
        let reason = "two sessions ended early".to_owned();
        let rolled_back = TransferProgress::RolledBack { reason };
        let after = report(&active, &rolled_back, 31).unwrap();
        assert_eq!(after.stage, TransferStage::RolledBack);
        assert_eq!(report(&after, &TransferProgress::Active, 30), None);
        // A boat whose clock was set back continues to report.
        let early = report(&offered(), &receiving(2), 30).unwrap();
        assert!(report(&early, &receiving(3), 20).is_some());
    }
}
