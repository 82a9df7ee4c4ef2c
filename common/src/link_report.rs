//! What a boat says about its link to shore: class, budget, and how long pending messages will take.

use crate::link_class::LinkClass;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest interval between two status reports that a boat may announce, in seconds.
const MAX_INTERVAL_SECONDS: u32 = 86_400;

/// The state of a boat's link to shore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The class.
    pub class: LinkClass,
    /// How often the boat reports its status over it, in seconds.
    pub report_interval_seconds: u32,
    /// Bytes that it may carry in an hour; `None` where that is unlimited.
    pub bytes_per_hour: Option<u64>,
    /// Bytes of these that are left; 0 where they are unlimited.
    pub bytes_left: u64,
    /// Identities that shore does not have: sightings without details.
    pub identities: PendingMessages,
    /// Sightings with all details that shore has not acknowledged.
    pub sightings: PendingMessages,
    /// Pictures that shore has not acknowledged.
    pub pictures: PendingMessages,
}

/// The pending messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingMessages {
    /// How many.
    pub messages: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The estimated time until all of them are sent; `None` where this link does not carry them.
    pub seconds: Option<u64>,
}

/// A report with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interval of status reports, a number of bytes or of pending messages out of range")]
pub struct InvalidLinkReport;

impl LinkReport {
    /// How often the boat reports its status.
    pub fn report_interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.report_interval_seconds))
    }

    /// Validates a report from outside.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn validate(&self) -> Result<(), InvalidLinkReport> {
        let countable = |number: u64| i64::try_from(number).is_ok();
        let pending = [self.identities, self.sightings, self.pictures];
        let counts = pending
            .into_iter()
            .flat_map(|p| [p.messages, p.bytes, p.seconds.unwrap_or(0)])
            .chain([self.bytes_left, self.bytes_per_hour.unwrap_or(0)]);
        let interval = 1..=MAX_INTERVAL_SECONDS;
        if interval.contains(&self.report_interval_seconds) && counts.into_iter().all(countable) {
            Ok(())
        } else {
            Err(InvalidLinkReport)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn values_out_of_range_are_invalid() {
        let report = samples::link_report();
        assert_eq!(report.validate(), Ok(()));
        let changes: [fn(&mut LinkReport); 5] = [
            |r| r.report_interval_seconds = 0,
            |r| r.report_interval_seconds = MAX_INTERVAL_SECONDS + 1,
            |r| r.bytes_per_hour = Some(u64::MAX),
            |r| r.pictures.bytes = u64::MAX,
            |r| r.identities.seconds = Some(u64::MAX),
        ];
        for change in changes {
            let mut report = report;
            change(&mut report);
            assert_eq!(report.validate(), Err(InvalidLinkReport));
        }
    }
}
