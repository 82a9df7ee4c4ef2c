//! The bundle that the station offers, in the health document.

use flukewatch_common::bundle_transfer::TransferProgress;
use serde::{Deserialize, Serialize};

/// How far the bundle is that the station offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleUpdateHealth {
    /// `receiving`, `testing`, `on_trial`, `active`, `rejected` or `rolled_back`.
    pub state: String,
    /// Bytes of it that are aboard; null unless it is being received.
    pub received_bytes: Option<u64>,
    /// All its bytes; null unless it is being received.
    pub total_bytes: Option<u64>,
    /// Why it is not used; null where it is, or may be.
    pub reason: Option<String>,
}

impl From<TransferProgress> for BundleUpdateHealth {
    fn from(progress: TransferProgress) -> Self {
        let (state, bytes, reason) = match progress {
            TransferProgress::Receiving { received, total } => {
                ("receiving", Some((received, total)), None)
            }
            TransferProgress::Testing => ("testing", None, None),
            TransferProgress::OnTrial => ("on_trial", None, None),
            TransferProgress::Active => ("active", None, None),
            TransferProgress::Rejected { reason } => ("rejected", None, Some(reason)),
            TransferProgress::RolledBack { reason } => ("rolled_back", None, Some(reason)),
        };
        Self {
            state: state.into(),
            received_bytes: bytes.map(|(received, _)| received),
            total_bytes: bytes.map(|(_, total)| total),
            reason,
        }
    }
}
