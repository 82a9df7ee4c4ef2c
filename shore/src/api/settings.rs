//! The settings of a boat from shore, as JSON.

use crate::boat_settings::SentSettings;
use flukewatch_common::boat_settings::SettingsReport;
use serde::Serialize;

/// What a boat was sent last, and what it has reported of it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SettingsJson {
    /// The latest revision.
    pub revision: u64,
    /// When it was sent; null where this station has not sent it.
    pub sent_at: Option<String>,
    /// Its values, `KEY=VALUE` each; null where this station has not sent it.
    pub values: Option<Vec<String>>,
    /// `sent` (the boat has not reported yet), `on_trial`, `active`, `rejected` or `rolled_back`.
    pub progress: &'static str,
    /// The revision that the boat uses, 0 for the values of its file; null before its first report.
    pub in_use: Option<u64>,
    /// Why the latest revision is not used; null where it is, or may be.
    pub reason: Option<String>,
}

impl SettingsJson {
    /// Of a boat that was `sent` this and has `reported` that; `None` where neither is.
    pub fn new(sent: Option<&SentSettings>, reported: Option<&SettingsReport>) -> Option<Self> {
        let revision = sent.map(|sent| sent.revision);
        let revision = revision.max(reported.map(|report| report.revision))?;
        let sent = sent.filter(|sent| sent.revision == revision);
        let latest = reported.filter(|report| report.revision == revision);
        let reason = latest.map(|report| report.reason.clone());
        Some(Self {
            revision,
            sent_at: sent.map(|sent| sent.sent_at.to_string()),
            values: sent.map(SentSettings::values),
            progress: latest.map_or("sent", |report| report.progress.as_str()),
            in_use: reported.map(|report| report.in_use),
            reason: reason.filter(|reason| !reason.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::boat_settings::SettingsProgress;
    use flukewatch_common::clock::Timestamp;

    #[test]
    fn the_latest_revision_counts_wherever_it_is_known() {
        let sent = |revision| SentSettings {
            boat: "balaena".parse().unwrap(),
            revision,
            sent_at: Timestamp(5),
            settings: vec!["clip.days=3".parse().unwrap()],
        };
        let report = SettingsReport {
            revision: 4,
            in_use: 3,
            progress: SettingsProgress::Rejected,
            reason: "clip.days: must be 0 to 3650, not -1".into(),
        };
        let json = |revision: Option<u64>, report: Option<&SettingsReport>| {
            let sent = revision.map(sent);
            SettingsJson::new(sent.as_ref(), report)
        };
        assert_eq!(json(None, None), None);
        let both = json(Some(4), Some(&report)).unwrap();
        assert_eq!((both.progress, both.in_use), ("rejected", Some(3)));
        assert_eq!(both.reason.as_deref(), Some(&*report.reason));
        let newer = json(Some(5), Some(&report)).unwrap();
        assert_eq!((newer.revision, newer.progress), (5, "sent"));
        assert_eq!((newer.in_use, newer.reason), (Some(3), None));
        // The station has lost what it sent.
        let lost = json(None, Some(&report)).unwrap();
        assert_eq!((lost.revision, lost.progress), (4, "rejected"));
        assert_eq!((lost.values, lost.sent_at), (None, None));
    }
}
