//! Reads and validates a configuration.

use super::fault::{ConfigError, Fault};
use super::locate::Document;
use super::root::Config;
use flukewatch_common::footage::ConfigId;
use sha2::{Digest, Sha256};
use std::path::Path;

impl Config {
    /// Reads and validates `file`, and checks that what it names exists.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault's line and key.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_text(&Self::read(file)?, file)
    }

    /// The text of `file`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(file: &Path) -> Result<String, ConfigError> {
        std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })
    }

    /// Validates `text`, the content of `file`, and checks that what it names exists.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault's line and key.
    pub fn load_text(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let config = Self::parse(text, file)?;
        let mut faults = vec![];
        let bundle = ("bundle.path".to_owned(), &config.bundle.path);
        // A missing live camera may be plugged in later.
        let replays = config.numbered_cameras().filter(|(_, c)| !c.is_live());
        let replays = replays.map(|(section, c)| (format!("{section}.path"), &c.path));
        for (key, path) in std::iter::once(bundle).chain(replays) {
            if let Err(e) = std::fs::metadata(path) {
                faults.push(Fault::of(&key, format!("{}: {e}", path.display())));
            }
        }
        config.unless(faults, text, file)
    }

    /// Reads and validates `text`, the content of `file`, without touching the disk.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault's line and key.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| {
            let fault = Document::new(text).fault(&e);
            ConfigError::Faults {
                file: file.to_owned(),
                faults: vec![fault],
            }
        })?;
        config.identity = identity(text);
        let faults = config.faults();
        config.resolve_paths(file.parent().unwrap_or(Path::new("")));
        config.unless(faults, text, file)
    }

    fn unless(self, mut faults: Vec<Fault>, text: &str, file: &Path) -> Result<Self, ConfigError> {
        if faults.is_empty() {
            return Ok(self);
        }
        let document = Document::new(text);
        for fault in &mut faults {
            fault.line = document.line_of_key_or_section(&fault.key);
        }
        // In the file's order; sections that are not in the file come last.
        faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        Err(ConfigError::Faults {
            file: file.to_owned(),
            faults,
        })
    }
}

/// The first bytes of the SHA-256 of a configuration.
pub(super) fn identity(text: &str) -> ConfigId {
    let digest: [u8; 32] = Sha256::digest(text).into();
    ConfigId(*digest.first_chunk().expect("a SHA-256 is longer"))
}
