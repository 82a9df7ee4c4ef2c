//! The bundle that a boat was offered last, on the page of boats.

use super::format;
use crate::store::{BundleTransfer, TransferStage, TransferredBytes};
use flukewatch_common::clock::Timestamp;

/// The last bundle that a boat was offered.
pub(super) struct OfferedBundle {
    /// Name and version.
    pub(super) name: String,
    /// The class of the badge.
    pub(super) class: &'static str,
    /// The text of the badge.
    pub(super) headline: String,
    /// Why it is not used; empty where that does not apply.
    pub(super) reason: String,
    /// Present while it is being received.
    pub(super) bar: Option<TransferredBytes>,
    pub(super) details: Vec<String>,
}

impl OfferedBundle {
    pub(super) fn new(transfer: &BundleTransfer, now: Timestamp) -> Self {
        let offer = &transfer.offer;
        let version = match offer.version {
            Some(version) => format!("version {version}"),
            None => "not signed".to_owned(),
        };
        let (class, headline) = headline(transfer);
        let mut details: Vec<String> = transfer.bytes.map(arrived).into_iter().collect();
        details.push(format!("offered {}", format::time(offer.offered_at)));
        if let Some(times) = transfer.reported {
            let reported = format::relative_time(times.received, now);
            details.push(format!("reported {reported}"));
        }
        let is_receiving = transfer.stage == TransferStage::Receiving && transfer.is_open();
        Self {
            name: format!("{}, {version}", format::name_or_none(&offer.name)),
            class,
            headline,
            reason: transfer.reason.clone().unwrap_or_default(),
            bar: transfer.bytes.filter(|_| is_receiving),
            details,
        }
    }
}

/// Class and text of the badge.
fn headline(transfer: &BundleTransfer) -> (&'static str, String) {
    let since = format::time(transfer.since);
    match (transfer.stage, transfer.withdrawn_at) {
        (TransferStage::Active, _) => ("ok", format!("active since {since}")),
        (TransferStage::Rejected, _) => ("critical", format!("rejected {since}")),
        (TransferStage::RolledBack, _) => ("critical", format!("rolled back {since}")),
        (_, Some(at)) => ("offline", format!("withdrawn {}", format::time(at))),
        (TransferStage::OnTrial, None) => ("warning", format!("on trial since {since}")),
        (TransferStage::Testing, None) => ("offline", format!("in self-test since {since}")),
        (TransferStage::Receiving, None) => ("offline", format!("receiving since {since}")),
        (TransferStage::Offered, None) => ("offline", "offered, not reported".to_owned()),
    }
}

/// E.g. `12 kB of 400 kB received (3 %)`.
fn arrived(bytes: TransferredBytes) -> String {
    let TransferredBytes { received, total } = bytes;
    let percent = (received * 100).checked_div(total).unwrap_or(100);
    let (received, total) = (format::size(received), format::size(total));
    format!("{received} of {total} received ({percent} %)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MAX_TRANSFER_BYTES;

    #[test]
    fn arrived_bytes_are_a_fraction_of_all() {
        let arrived = |received, total| arrived(TransferredBytes { received, total });
        assert_eq!(arrived(0, 1000), "0 bytes of 1 kB received (0 %)");
        assert_eq!(arrived(2999, 3000), "3 kB of 3 kB received (99 %)");
        assert_eq!(arrived(0, 0), "0 bytes of 0 bytes received (100 %)");
        let most = arrived(MAX_TRANSFER_BYTES, MAX_TRANSFER_BYTES);
        assert!(most.ends_with("(100 %)"), "{most}");
    }
}
