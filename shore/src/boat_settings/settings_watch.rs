//! What a running station sends: it follows the files.

use super::error::SettingsError;
use super::sent_settings::SentSettings;
use super::settings_folder::SettingsFolder;
use crate::boat_files::Fingerprint;
use flukewatch_common::sighting::BoatId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What each boat was sent last.
pub type AllSent = BTreeMap<BoatId, SentSettings>;

/// Follows the files of settings.
pub struct SettingsWatch {
    folder: SettingsFolder,
    sent: watch::Sender<Arc<AllSent>>,
    /// The files that were looked at last; `None` where that has to be done again.
    seen: Option<Fingerprint>,
    /// The problems that were logged last.
    problems: Vec<String>,
}

impl SettingsWatch {
    /// The watch over the settings in the data folder of a station. Nothing is sent before the first
    /// [`SettingsWatch::run_once`].
    pub fn new(data: &Path) -> Self {
        Self {
            folder: SettingsFolder::in_data(data),
            sent: watch::Sender::default(),
            seen: None,
            problems: vec![],
        }
    }

    /// What is sent now and from now on.
    pub fn follow(&self) -> watch::Receiver<Arc<AllSent>> {
        self.sent.subscribe()
    }

    /// Looks until `shutdown` turns true.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                self.run_once();
                self
            });
            self = match looked.await {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(%error, "settings of boats are not followed any more");
                    return;
                }
            };
            tokio::select! {
                _ = shutdown.changed() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Looks at the files, if they have changed.
    pub fn run_once(&mut self) {
        let mut problems = vec![];
        if let Err(error) = self.look(&mut problems) {
            self.seen = None;
            problems.push(error.to_string());
        }
        // Each is logged once, and not at each look.
        for problem in &problems {
            if !self.problems.contains(problem) {
                tracing::error!(problem, "cannot send settings");
            }
        }
        self.problems = problems;
    }

    fn look(&mut self, problems: &mut Vec<String>) -> Result<(), SettingsError> {
        let files = self.folder.fingerprint()?;
        if self.seen.as_ref() == Some(&files) {
            // They are still as they were.
            problems.append(&mut self.problems);
            return Ok(());
        }
        let mut all = AllSent::new();
        for sent in self.folder.all()? {
            match sent {
                Ok(sent) => {
                    all.insert(sent.boat.clone(), sent);
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        self.seen = Some(files);
        self.sent.send_if_modified(|before| {
            let is_new = **before != all;
            *before = Arc::new(all);
            is_new
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::clock::Timestamp;

    #[test]
    fn what_a_command_writes_is_sent_and_a_damaged_file_hides_no_other() {
        let data = tempfile::tempdir().unwrap();
        let mut watch = SettingsWatch::new(data.path());
        let mut follow = watch.follow();
        watch.run_once();
        assert!(follow.borrow_and_update().is_empty());
        let folder = SettingsFolder::in_data(data.path());
        let sent = SentSettings {
            boat: "balaena".parse().unwrap(),
            revision: 1,
            sent_at: Timestamp(5),
            settings: vec![],
        };
        folder.write(&folder.lock().unwrap(), &sent).unwrap();
        std::fs::write(data.path().join("settings/orca.json"), "{}").unwrap();
        watch.run_once();
        assert!(follow.has_changed().unwrap());
        let all: Vec<SentSettings> = follow.borrow_and_update().values().cloned().collect();
        assert_eq!(all, [sent]);
        assert_eq!(watch.problems.len(), 1);
        watch.run_once();
        assert!(!follow.has_changed().unwrap());
        assert_eq!(watch.problems.len(), 1);
    }
}
