//! The files of settings.

use super::error::SettingsError;
use super::sent_settings::SentSettings;
use crate::boat_files::{BoatFiles, FilesLock, Fingerprint};
use flukewatch_common::sighting::BoatId;
use std::path::Path;

/// The folder of settings in a station's data folder, with one file per boat. Several processes may use it at a
/// time.
#[derive(Clone, Debug)]
pub struct SettingsFolder {
    files: BoatFiles,
}

/// The right to change settings, until it is dropped.
#[derive(Debug)]
pub struct SettingsLock {
    _files: FilesLock,
}

impl SettingsFolder {
    /// That of a station's data folder.
    pub fn in_data(data: &Path) -> Self {
        Self {
            files: BoatFiles::new(data, "settings"),
        }
    }

    /// Blocks until no other process changes settings.
    ///
    /// # Errors
    /// When the data folder does not exist, or cannot be written.
    pub fn lock(&self) -> Result<SettingsLock, SettingsError> {
        let files = self.files.lock()?;
        Ok(SettingsLock { _files: files })
    }

    /// Sends settings, in place of earlier ones to the same boat.
    ///
    /// # Errors
    /// When the file cannot be written; the earlier ones then stay.
    pub fn write(&self, _lock: &SettingsLock, sent: &SentSettings) -> Result<(), SettingsError> {
        Ok(self.files.write(&sent.boat, &sent.to_bytes())?)
    }

    /// What `boat` was sent last; `None` where it was sent nothing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, boat: &BoatId) -> Result<Option<SentSettings>, SettingsError> {
        let Some(bytes) = self.files.read(boat)? else {
            return Ok(None);
        };
        SentSettings::from_bytes(&self.files.file_of(boat), boat, &bytes).map(Some)
    }

    /// What each boat was sent last, by boat; an error for each file that cannot be read.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Result<SentSettings, SettingsError>>, SettingsError> {
        let boats = self.files.boats()?.into_iter();
        Ok(boats
            .filter_map(|boat| self.read(&boat).transpose())
            .collect())
    }

    /// Identifies the state of the files.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, SettingsError> {
        Ok(self.files.fingerprint()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::clock::Timestamp;
    use std::fs;

    fn sent(boat: &str, revision: u64) -> SentSettings {
        SentSettings {
            boat: boat.parse().unwrap(),
            revision,
            sent_at: Timestamp(1_795_450_800_123),
            settings: ["detector.threshold=0.4", "uplink.link=vsat"]
                .map(|text| text.parse().unwrap())
                .into(),
        }
    }

    #[test]
    fn settings_stand_until_they_are_replaced() {
        let data = tempfile::tempdir().unwrap();
        let folder = SettingsFolder::in_data(data.path());
        let before = folder.fingerprint().unwrap();
        let lock = folder.lock().unwrap();
        let boat = sent("balaena", 1).boat;
        assert_eq!(folder.read(&boat).unwrap(), None);
        for revision in [1, 2] {
            folder.write(&lock, &sent("balaena", revision)).unwrap();
            assert_eq!(folder.read(&boat).unwrap(), Some(sent("balaena", revision)));
        }
        assert_ne!(folder.fingerprint().unwrap(), before);
        let cleared = SentSettings {
            settings: vec![],
            ..sent("mysticeta", 7)
        };
        folder.write(&lock, &cleared).unwrap();
        let all: Vec<SentSettings> = folder
            .all()
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(all, [sent("balaena", 2), cleared]);
        let nowhere = SettingsFolder::in_data(Path::new("/nonexistent/station"));
        assert!(nowhere.lock().is_err());
    }

    #[test]
    fn a_damaged_file_is_named_and_hides_no_other() {
        let data = tempfile::tempdir().unwrap();
        let folder = SettingsFolder::in_data(data.path());
        let lock = folder.lock().unwrap();
        folder.write(&lock, &sent("mysticeta", 1)).unwrap();
        let good = String::from_utf8(sent("balaena", 1).to_bytes()).unwrap();
        let file = data.path().join("settings/balaena.json");
        for bad in [
            String::new(),
            "null".into(),
            "[".repeat(20_000),
            good.replace("balaena", "mysticeta"),
            good.replace("2026-", "2026/"),
            good.replace("=0.4", "=4"),
            good.replace("uplink.link=vsat", "detector.threshold=0.5"),
            good.replace("uplink.link=vsat", "uplink.broker=mqtt://x"),
            good.replace("\"values\"", "\"value\""),
        ] {
            fs::write(&file, &bad).unwrap();
            let all = folder.all().unwrap();
            let [Err(error), Ok(other)] = &all[..] else {
                panic!("{bad}: {all:?}");
            };
            assert!(matches!(error, SettingsError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()));
            assert_eq!(*other, sent("mysticeta", 1));
        }
        fs::write(&file, r#"{"format":2}"#).unwrap();
        let newer = folder.all().unwrap().remove(0).unwrap_err();
        assert!(matches!(newer, SettingsError::Newer { format: 2, .. }));
    }
}
