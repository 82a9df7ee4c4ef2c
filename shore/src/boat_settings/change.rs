//! What a person changes.

use super::error::SettingsError;
use super::sent_settings::SentSettings;
use flukewatch_common::boat_settings::{Setting, SettingsReport};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use std::path::Path;
use toml::{Table, Value};

/// The largest file of settings that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// A change of the settings of boats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsChange {
    /// Whether everything that was sent before returns to the boat's file.
    pub clear: bool,
    /// What is set. What was sent before for other keys stays, unless it did not work.
    pub settings: Vec<Setting>,
}

impl SettingsChange {
    /// Sets what `file` holds, a TOML file with sections and keys like those of a boat's configuration, and
    /// nothing else.
    ///
    /// # Errors
    /// When it cannot be read, or a key or value is invalid.
    pub fn from_file(file: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable {
            file: file.to_owned(),
            source,
        };
        let opened = std::fs::File::open(file).map_err(unreadable)?;
        let limited = std::io::Read::take(opened, MAX_FILE);
        let text = std::io::read_to_string(limited).map_err(unreadable)?;
        let table: Table = text.parse().map_err(|source| SettingsError::Toml {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        let mut texts = vec![];
        flatten("", &table, &mut texts);
        let settings = texts.iter().map(|text| text.parse());
        let settings: Result<Vec<Setting>, _> = settings.collect();
        Ok(Self {
            clear: true,
            settings: settings.map_err(|source| SettingsError::Setting {
                file: file.to_owned(),
                source,
            })?,
        })
    }

    /// The settings to send to `boat` at `now`, after `last`, and after what the boat has `reported`.
    pub fn next(
        &self,
        boat: BoatId,
        last: Option<&SentSettings>,
        reported: Option<&SettingsReport>,
        now: Timestamp,
    ) -> SentSettings {
        let mut settings: Vec<Setting> = last
            .filter(|last| !self.clear && !has_failed(last, reported))
            .map(|last| last.settings.clone())
            .unwrap_or_default();
        for setting in &self.settings {
            settings.retain(|earlier| earlier.key() != setting.key());
            settings.push(*setting);
        }
        settings.sort_by_key(Setting::key);
        // Also where the station has lost what it sent.
        let sent = last.map_or(0, |last| last.revision);
        let known = reported.map_or(0, |reported| reported.revision);
        SentSettings {
            boat,
            revision: sent.max(known).saturating_add(1),
            sent_at: now,
            settings,
        }
    }
}

/// Whether the boat did not accept, or has rolled back, what it was sent last.
pub fn has_failed(last: &SentSettings, reported: Option<&SettingsReport>) -> bool {
    reported.is_some_and(|report| report.revision == last.revision && !report.reason.is_empty())
}

/// `KEY=VALUE` for each value of a table; `prefix` is the name of the table with a dot.
fn flatten(prefix: &str, table: &Table, texts: &mut Vec<String>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, texts),
            Value::String(text) => texts.push(format!("{key}={text}")),
            other => texts.push(format!("{key}={other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::boat_settings::{InvalidSetting, SettingsProgress};

    fn boat() -> BoatId {
        "balaena".parse().unwrap()
    }

    fn settings(texts: &[&str]) -> Vec<Setting> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn change(clear: bool, texts: &[&str]) -> SettingsChange {
        SettingsChange {
            clear,
            settings: settings(texts),
        }
    }

    fn report(revision: u64, reason: &str) -> SettingsReport {
        SettingsReport {
            revision,
            in_use: 0,
            progress: SettingsProgress::RolledBack,
            reason: reason.into(),
        }
    }

    #[test]
    fn what_was_sent_before_stays_unless_it_is_cleared() {
        let next = |change: SettingsChange, last: Option<&SentSettings>| {
            let sent = change.next(boat(), last, None, Timestamp(5));
            (sent.revision, sent.values().join(" "), sent)
        };
        let (revision, values, first) = next(change(false, &["clip.days=3"]), None);
        assert_eq!((revision, &*values), (1, "clip.days=3"));
        let changed = change(false, &["detector.threshold=0.4", "clip.days=4"]);
        let (revision, values, second) = next(changed, Some(&first));
        assert_eq!(
            (revision, &*values),
            (2, "detector.threshold=0.4 clip.days=4")
        );
        let (revision, values, _) = next(change(true, &["archive.days=1"]), Some(&second));
        assert_eq!((revision, &*values), (3, "archive.days=1"));
        let (revision, values, _) = next(change(true, &[]), Some(&second));
        assert_eq!((revision, &*values), (3, ""));
    }

    #[test]
    fn what_did_not_work_is_not_sent_again() {
        let last = SentSettings {
            boat: boat(),
            revision: 4,
            sent_at: Timestamp(1),
            settings: settings(&["clip.days=3"]),
        };
        let next = |reported: &SettingsReport| {
            let change = change(false, &["archive.days=1"]);
            let sent = change.next(boat(), Some(&last), Some(reported), Timestamp(5));
            (sent.revision, sent.values().join(" "))
        };
        assert_eq!(next(&report(4, "x")), (5, "archive.days=1".into()));
        assert_eq!(
            next(&report(3, "x")),
            (5, "clip.days=3 archive.days=1".into())
        );
        // The station has lost its data, and the boat knows higher revisions.
        assert_eq!(next(&report(9, "")).0, 10);
    }

    #[test]
    fn a_file_has_sections_like_a_boat_s_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("safe.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            SettingsChange::from_file(&file)
        };
        let text = "[clip]\ndays = 3\n[detector]\nthreshold = 0.5\n\
                    [uplink]\nlink = \"vsat\"\nbytes_per_hour = { vsat = 20000 }\n";
        let mut read_settings = read(text).unwrap();
        read_settings.settings.sort_by_key(Setting::key);
        let expected = [
            "detector.threshold=0.5",
            "clip.days=3",
            "uplink.link=vsat",
            "uplink.bytes_per_hour.vsat=20000",
        ];
        assert_eq!(read_settings, change(true, &expected));
        let error = read("[uplink]\nbroker = \"mqtt://x\"\n").unwrap_err();
        assert!(
            matches!(&error, SettingsError::Setting { source: InvalidSetting::Unknown(key), .. } if key == "uplink.broker"),
            "{error}"
        );
        let error = read("[clip]\ndays = -1\n").unwrap_err();
        assert!(error.to_string().contains("clip.days: must be 0 to 3650"));
        assert!(matches!(read("[clip\n"), Err(SettingsError::Toml { .. })));
        let missing = SettingsChange::from_file(&folder.path().join("none.toml"));
        assert!(matches!(missing, Err(SettingsError::Unreadable { .. })));
    }
}
