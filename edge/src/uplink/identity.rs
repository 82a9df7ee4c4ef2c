//! Who the boat is to the station, and the station to the boat.

use flukewatch_trust::{KeyFileError, OpenError, PublicKey, Purpose, SigningKey, open, seal};
use std::path::{Path, PathBuf};

/// The files of a folder that `flukewatch-shore provision` makes.
const BOAT_KEY: &str = "boat.key";
const BOAT_CERTIFICATE: &str = "boat.pem";
const AUTHORITY: &str = "ca.pem";
const STATION_KEY: &str = "station.pub";

/// Signs the boat's messages, and verifies the station's.
#[derive(Clone, Debug)]
pub struct Identity {
    key: SigningKey,
    station: PublicKey,
}

/// Where the files of an identity are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityFiles {
    pub(super) key: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) authority: PathBuf,
    pub(super) station: PathBuf,
}

impl IdentityFiles {
    /// The files of a folder of the station.
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            key: folder.join(BOAT_KEY),
            certificate: folder.join(BOAT_CERTIFICATE),
            authority: folder.join(AUTHORITY),
            station: folder.join(STATION_KEY),
        }
    }
}

impl Identity {
    /// An identity of these keys.
    pub fn new(key: SigningKey, station: PublicKey) -> Self {
        Self { key, station }
    }

    /// Reads the keys of an identity.
    ///
    /// # Errors
    /// When a file is missing or not a key.
    pub(super) fn read(files: &IdentityFiles) -> Result<Self, KeyFileError> {
        Ok(Self {
            key: SigningKey::read_file(&files.key)?,
            station: PublicKey::read_file(&files.station)?,
        })
    }

    /// A message to the station, signed.
    pub(super) fn seal(&self, message: &[u8]) -> Vec<u8> {
        seal(&self.key, Purpose::BoatMessage, message)
    }

    /// The content of a message that the station signed.
    pub(super) fn open_from_station<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8], OpenError> {
        open(&self.station, Purpose::StationMessage, sealed)
    }

    /// The content of a message that this boat signed, perhaps on another computer.
    pub(super) fn open_from_boat<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8], OpenError> {
        open(&self.key.public(), Purpose::BoatMessage, sealed)
    }
}
