//! The bundles that a boat was offered, as JSON.

use crate::store::{BundleTransfer, TransferredBytes};
use serde::Serialize;

/// An offer of a bundle to a boat, and what the boat has reported of it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BundleTransferJson {
    /// The offer's id.
    pub offer: String,
    /// The bundle's name.
    pub name: String,
    /// The bundle's version; null where it is not signed.
    pub version: Option<u64>,
    /// The SHA-256 of the bundle's manifest; its first 12 digits are the bundle's id.
    pub manifest_sha256: String,
    /// When it was offered.
    pub offered_at: String,
    /// When the offer was withdrawn or replaced before the boat had dealt with it; null if it was not.
    pub withdrawn_at: Option<String>,
    /// `offered`, `receiving`, `testing`, `on_trial`, `active`, `rejected` or `rolled_back`.
    pub progress: &'static str,
    /// When the station received the first report of this progress, or when the bundle was offered.
    pub since: String,
    /// When the station received the last report; null before the first one.
    pub reported_at: Option<String>,
    /// When that report was made, by the boat's clock.
    pub boat_time: Option<String>,
    /// Bytes of the bundle's parts that are aboard; null before the boat has reported them.
    pub received_bytes: Option<u64>,
    /// Bytes of all its parts; the difference has to be transferred.
    pub total_bytes: Option<u64>,
    /// Why the bundle is not used; null for any other progress than `rejected` and `rolled_back`.
    pub reason: Option<String>,
}

impl From<&BundleTransfer> for BundleTransferJson {
    fn from(transfer: &BundleTransfer) -> Self {
        let offer = &transfer.offer;
        Self {
            offer: offer.id.to_string(),
            name: offer.name.clone(),
            version: offer.version,
            manifest_sha256: offer.manifest.to_string(),
            offered_at: offer.offered_at.to_string(),
            withdrawn_at: transfer.withdrawn_at.map(|at| at.to_string()),
            progress: transfer.stage.as_str(),
            since: transfer.since.to_string(),
            reported_at: transfer.reported.map(|times| times.received.to_string()),
            boat_time: transfer.reported.map(|times| times.boat.to_string()),
            received_bytes: transfer
                .bytes
                .map(|TransferredBytes { received, .. }| received),
            total_bytes: transfer.bytes.map(|TransferredBytes { total, .. }| total),
            reason: transfer.reason.clone(),
        }
    }
}
