//! How long pending messages will take.

use super::budget::LinkBudget;
use super::priority::Priority;
use super::watch::LinkWatch;
use crate::outbox::{KindBytes, PendingBytes};
use flukewatch_common::link_class::LinkClass;
use flukewatch_common::link_report::{LinkReport, PendingMessages};
use serde::{Deserialize, Serialize};

/// Bytes on the wire that a message takes besides its content: signature, topic, headers and acknowledgement.
const OVERHEAD: u64 = 520;

/// A usual brief.
const BRIEF_BYTES: u64 = 90;

/// The link to shore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHealth {
    /// The class.
    pub class: LinkClass,
    /// The key of `uplink` that chose it: `link`, `schedule`, `route` or `link_file`.
    pub selected_by: String,
    /// What is wrong with `uplink.link_file`; null where nothing is.
    pub fault: Option<String>,
    /// Bytes that the link may carry in an hour; null for no limit.
    pub bytes_per_hour: Option<u64>,
    /// The bytes of this hour that are left; null for no limit.
    pub bytes_left: Option<u64>,
    /// How often the status is reported to shore, in seconds.
    pub report_interval_seconds: u32,
    /// Bytes sent and received since the process started, by class; estimates.
    pub carried: Vec<CarriedBytes>,
    /// The pending messages by kind, the most important first.
    pub pending: Vec<PendingKind>,
}

/// Bytes that went over links of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedBytes {
    /// The class.
    pub class: LinkClass,
    /// The bytes.
    pub bytes: u64,
}

/// The pending messages of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingKind {
    /// `identities`, `sightings` or `pictures`.
    pub kind: String,
    /// How many.
    pub messages: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The estimated time until all are sent under the budget; null where this link does not carry all of
    /// them.
    pub seconds: Option<u64>,
}

impl LinkHealth {
    /// The state of `watch`'s link with these messages pending.
    pub fn new(watch: &LinkWatch, pending: &PendingBytes) -> Self {
        let budget = watch.budget();
        let interval = budget.profile().status_interval.as_secs();
        let carried = budget.totals().into_iter();
        Self {
            class: budget.class(),
            selected_by: watch
                .selection()
                .map_or_else(String::new, |s| s.by.as_str().to_owned()),
            fault: watch.fault().map(str::to_owned),
            bytes_per_hour: budget.bytes_per_hour(),
            bytes_left: budget.bytes_left(),
            report_interval_seconds: u32::try_from(interval).unwrap_or(u32::MAX),
            carried: carried
                .map(|(class, bytes)| CarriedBytes { class, bytes })
                .collect(),
            pending: pending_kinds(budget, pending),
        }
    }

    /// What the status report says of it; `None` in harbour without a limit.
    pub fn report(&self) -> Option<LinkReport> {
        if self.class == LinkClass::Harbour && self.bytes_per_hour.is_none() {
            return None;
        }
        let of = |kind: &str| {
            let pending = self.pending.iter().find(|p| p.kind == kind);
            pending.map_or_else(PendingMessages::default, |p| PendingMessages {
                messages: p.messages,
                bytes: p.bytes,
                seconds: p.seconds,
            })
        };
        Some(LinkReport {
            class: self.class,
            report_interval_seconds: self.report_interval_seconds,
            bytes_per_hour: self.bytes_per_hour,
            bytes_left: self.bytes_left.unwrap_or(0),
            identities: of(IDENTITIES),
            sightings: of(SIGHTINGS),
            pictures: of(PICTURES),
        })
    }
}

const IDENTITIES: &str = "identities";
const SIGHTINGS: &str = "sightings";
const PICTURES: &str = "pictures";

/// The pending messages by kind, with the time that they take on the link in use.
pub fn pending_kinds(budget: &LinkBudget, pending: &PendingBytes) -> Vec<PendingKind> {
    let profile = budget.profile();
    // Elsewhere they are sent with all details.
    let identities = if profile.identities_first {
        pending.identities
    } else {
        0
    };
    let identities = KindBytes {
        messages: identities,
        bytes: identities.saturating_mul(BRIEF_BYTES),
    };
    let mut ahead = 0u64;
    // Large ones go in parts.
    let parts = pending.pictures.bytes / u64::from(profile.piece_bytes);
    let kinds = [
        (IDENTITIES, Priority::Identities, identities, 0),
        (SIGHTINGS, Priority::Sightings, pending.sightings, 0),
        (PICTURES, Priority::Pictures, pending.pictures, parts),
    ];
    let kinds = kinds.map(|(kind, priority, pending, parts)| {
        let messages = pending.messages.saturating_add(parts);
        ahead = ahead
            .saturating_add(pending.bytes)
            .saturating_add(messages.saturating_mul(OVERHEAD));
        let seconds = (profile.carries(priority) || pending.messages == 0).then(|| {
            if pending.messages == 0 {
                0
            } else {
                seconds(budget, priority, ahead)
            }
        });
        PendingKind {
            kind: kind.to_owned(),
            messages: pending.messages,
            bytes: pending.bytes,
            seconds,
        }
    });
    kinds.into()
}

/// The time until messages of `bytes` altogether are sent.
fn seconds(budget: &LinkBudget, priority: Priority, bytes: u64) -> u64 {
    let (Some(limit), Some(left)) = (budget.bytes_per_hour(), budget.bytes_left()) else {
        return 0;
    };
    let reserve = priority.reserve(limit);
    let later = bytes.saturating_sub(left.saturating_sub(reserve));
    let an_hour = (limit - reserve).max(1);
    later.saturating_mul(3600).div_ceil(an_hour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;
    use std::sync::Arc;

    fn pending() -> PendingBytes {
        PendingBytes {
            identities: 60,
            sightings: KindBytes {
                messages: 100,
                bytes: 160_000,
            },
            pictures: KindBytes {
                messages: 100,
                bytes: 3_960_000,
            },
        }
    }

    fn seconds_of(
        limit: Option<u64>,
        class: LinkClass,
        pending: &PendingBytes,
    ) -> Vec<Option<u64>> {
        let clock = Arc::new(ManualMonotonicClock::default());
        let budget = LinkBudget::new([limit; 5], clock);
        budget.set_class(class);
        let kinds = pending_kinds(&budget, pending);
        kinds.into_iter().map(|kind| kind.seconds).collect()
    }

    #[test]
    fn what_does_not_fit_into_this_hour_takes_its_time() {
        // A quarter of 80 kB is left to more important messages than sightings, three eighths to those than pictures.
        let lte = seconds_of(Some(80_000), LinkClass::Lte, &pending());
        let sightings = (212_000 - 60_000) * 3600 / 60_000;
        // Each at most 32 KiB more in a message of its own.
        let parts = 3_960_000 / 32_768 * OVERHEAD;
        let pictures = ((4_224_000 - 50_000 + parts) * 3600).div_ceil(50_000);
        assert_eq!(lte, [Some(0), Some(sightings), Some(pictures)]);
        let ample = seconds_of(Some(1 << 40), LinkClass::Lte, &pending());
        assert_eq!(ample, [Some(0); 3]);
        assert_eq!(
            seconds_of(None, LinkClass::Harbour, &pending()),
            [Some(0); 3]
        );
    }

    #[test]
    fn what_the_link_does_not_carry_has_no_time() {
        let vsat = seconds_of(Some(1 << 40), LinkClass::Vsat, &pending());
        assert_eq!(vsat, [Some(0); 3], "pictures of any size go in parts");
        let iridium = seconds_of(Some(30_000), LinkClass::Iridium, &pending());
        let identities = (60 * 610 - 26_250) * 3600u64;
        assert_eq!(iridium, [Some(identities.div_ceil(26_250)), None, None]);
        let nothing = PendingBytes::default();
        let iridium = seconds_of(Some(30_000), LinkClass::Iridium, &nothing);
        assert_eq!(iridium, [Some(0); 3]);
    }
}
