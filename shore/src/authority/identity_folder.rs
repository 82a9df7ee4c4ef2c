//! The folder that is carried aboard a boat.

use super::error::AuthorityError;
use super::files::create_private_folder;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::{PublicKey, SigningKey};
use std::fs;
use std::path::{Path, PathBuf};

/// A boat that is to get a certificate.
#[derive(Clone, Debug)]
pub struct ProvisionRequest {
    /// Its name.
    pub boat: BoatId,
    /// The folder to write.
    pub out: PathBuf,
    /// How many days its certificate is valid.
    pub days: u32,
    /// Whether to revoke the boat's current certificate, if it has one.
    pub replace: bool,
    /// The broker's URL for the folder's README, if known.
    pub broker: Option<String>,
}

/// A folder with a boat's new identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFolder {
    /// Its path.
    pub folder: PathBuf,
    /// When the certificate in it expires.
    pub expires: Timestamp,
}

/// What the folder contains.
pub(super) struct Identity<'a> {
    pub(super) boat: &'a BoatId,
    pub(super) key: &'a SigningKey,
    pub(super) certificate: &'a str,
    pub(super) expires: Timestamp,
    /// The authority's certificate, in PEM.
    pub(super) ca: &'a [u8],
    pub(super) station: PublicKey,
    pub(super) broker: Option<&'a str>,
}

impl Identity<'_> {
    /// Writes all files into a new folder.
    ///
    /// # Errors
    /// When the folder exists or cannot be written; nothing of it is then left.
    pub(super) fn write(&self, folder: &Path) -> Result<(), AuthorityError> {
        create_private_folder(folder).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => AuthorityError::FolderExists(folder.to_owned()),
            _ => AuthorityError::io("create", folder)(source),
        })?;
        let written = self.write_files(folder);
        if written.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_dir_all(folder);
        }
        written
    }

    fn write_files(&self, folder: &Path) -> Result<(), AuthorityError> {
        self.key.create_file(&folder.join("boat.key"))?;
        let write = |name: &str, content: &[u8]| {
            let file = folder.join(name);
            write_atomically(&file, content).map_err(AuthorityError::io("write", &file))
        };
        write("boat.pem", self.certificate.as_bytes())?;
        write("ca.pem", self.ca)?;
        write("station.pub", self.station.to_pem().as_bytes())?;
        write("README.txt", self.readme().as_bytes())
    }

    fn readme(&self) -> String {
        let Self { boat, expires, .. } = self;
        let broker = self.broker.unwrap_or("mqtts://HOST:8883");
        format!(
            "\
The identity of the boat '{boat}', valid until {expires}.

1. Copy this folder to the boat's computer, with the boat's user as owner:

     sudo cp -r THIS_FOLDER /etc/flukewatch/identity
     sudo chown -R flukewatch: /etc/flukewatch/identity
     sudo chmod 700 /etc/flukewatch/identity

2. Set in /etc/flukewatch/edge.toml:

     [boat]
     name = \"{boat}\"

     [uplink]
     broker = \"{broker}\"
     identity = \"/etc/flukewatch/identity\"

3. Check, and restart the boat's program:

     sudo -u flukewatch flukewatch-edge check --config /etc/flukewatch/edge.toml
     sudo systemctl restart flukewatch-edge

4. Delete all other copies of this folder, on USB sticks too. The station keeps none of boat.key, and whoever has it can send as this
   boat. If it was lost, or the boat was stolen, run on the station: flukewatch-shore revoke {boat} --data DIR

boat.key     private key, for this boat only
boat.pem     certificate of the boat
ca.pem       certificate of the station's authority, which the broker's certificate is from
station.pub  key of the station, which signs acknowledgements and commands
"
        )
    }
}
