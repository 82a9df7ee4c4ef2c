//! The settings that a boat was sent last, on the page of boats.

use super::format;
use crate::boat_settings::SentSettings;
use flukewatch_common::boat_settings::{SettingsProgress, SettingsReport};

/// The settings that a boat was sent last, and what it says of them.
pub(super) struct SettingsOnPage {
    /// Of the badge.
    pub(super) class: &'static str,
    /// The text of the badge.
    pub(super) headline: String,
    /// Why they are not used; empty where that does not apply.
    pub(super) reason: String,
    /// `KEY=VALUE` each.
    pub(super) values: Vec<String>,
    pub(super) details: Vec<String>,
}

impl SettingsOnPage {
    /// `None` where nothing was sent and nothing is reported.
    pub(super) fn new(
        sent: Option<&SentSettings>,
        reported: Option<&SettingsReport>,
    ) -> Option<Self> {
        let revision = sent.map(|sent| sent.revision);
        let revision = revision.max(reported.map(|report| report.revision))?;
        let latest = reported.filter(|report| report.revision == revision);
        let sent = sent.filter(|sent| sent.revision == revision);
        let (class, progress) = match latest.map(|report| report.progress) {
            None => ("offline", "sent, not reported"),
            Some(SettingsProgress::OnTrial) => ("warning", "on trial"),
            Some(SettingsProgress::Active) => ("ok", "active"),
            Some(SettingsProgress::Rejected) => ("critical", "rejected"),
            Some(SettingsProgress::RolledBack) => ("critical", "rolled back"),
        };
        let mut details = vec![];
        if let Some(sent) = sent {
            details.push(format!("sent {}", format::time(sent.sent_at)));
            if sent.settings.is_empty() {
                details.push("all values of the boat's file".to_owned());
            }
        }
        if let Some(report) = reported.filter(|report| report.in_use != revision) {
            details.push(match report.in_use {
                0 => "in use: the boat's file".to_owned(),
                in_use => format!("in use: revision {in_use}"),
            });
        }
        Some(Self {
            class,
            headline: format!("revision {revision} {progress}"),
            reason: latest
                .map(|report| report.reason.clone())
                .unwrap_or_default(),
            values: sent.map(SentSettings::values).unwrap_or_default(),
            details,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::clock::Timestamp;

    #[test]
    fn settings_that_were_rejected_show_why_and_what_is_used() {
        let sent = SentSettings {
            boat: "balaena".parse().unwrap(),
            revision: 4,
            sent_at: Timestamp(1_795_450_800_000),
            settings: vec!["clip.days=3".parse().unwrap()],
        };
        let report = SettingsReport {
            revision: 4,
            in_use: 2,
            progress: SettingsProgress::Rejected,
            reason: "forbidden".into(),
        };
        let page = SettingsOnPage::new(Some(&sent), Some(&report)).unwrap();
        assert_eq!(page.headline, "revision 4 rejected");
        assert_eq!((page.class, &*page.reason), ("critical", "forbidden"));
        assert_eq!(page.values, ["clip.days=3"]);
        let details = ["sent 2026-11-23 16:20:00", "in use: revision 2"];
        assert_eq!(page.details, details);
        let unreported = SettingsOnPage::new(Some(&sent), None).unwrap();
        assert_eq!(unreported.headline, "revision 4 sent, not reported");
        assert!(SettingsOnPage::new(None, None).is_none());
    }
}
