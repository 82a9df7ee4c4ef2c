//! The authority of a station.

use super::create::{create, random_key, write_certificate};
use super::error::AuthorityError;
use super::files::{AuthorityFiles, TlsFiles, create_private_folder};
use super::identity_folder::{Identity, IdentityFolder, ProvisionRequest};
use super::issuer::Issuer;
use super::registry::{BoatCertificate, Registry};
use super::serial::Serial;
use super::server_name::ServerName;
use super::validity::{STATION_NAME, Validity};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::{PublicKey, SigningKey};
use rand::CryptoRng;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The authority of a station: certificates, and the keys of boats. Several processes can have the same
/// one open.
#[derive(Debug)]
pub struct Authority {
    files: AuthorityFiles,
    station_key: SigningKey,
    known: Mutex<Known>,
}

/// The registry as it was read last.
#[derive(Debug)]
struct Known {
    registry: Registry,
    file: Option<FileVersion>,
}

/// Changes when the file is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

/// The result of revoking a boat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The boat's certificate is now revoked.
    Revoked,
    /// The boat had no certificate that was not revoked.
    AlreadyRevoked,
}

impl Authority {
    /// Opens the authority in a station's data folder; `None` where there is none.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn open(data: &Path) -> Result<Option<Self>, AuthorityError> {
        let files = AuthorityFiles::in_data(data);
        if !files.folder().exists() {
            return Ok(None);
        }
        let file = FileVersion::of(&files.registry());
        let registry = Registry::read(&files.registry())?;
        let station_key = SigningKey::read_file(&files.station().key)?;
        Ok(Some(Self {
            files,
            station_key,
            known: Mutex::new(Known { registry, file }),
        }))
    }

    /// Opens the authority in a station's data folder, and creates it where there is none.
    ///
    /// # Errors
    /// When it is damaged or cannot be read or created.
    pub fn open_or_create(
        data: &Path,
        random: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        if let Some(authority) = Self::open(data)? {
            return Ok(authority);
        }
        if !data.is_dir() {
            return Err(AuthorityError::NoData(data.to_owned()));
        }
        create(data, random, now)?;
        tracing::info!(folder = %AuthorityFiles::in_data(data).folder().display(), "authority created");
        Self::open(data)?.ok_or_else(|| AuthorityError::NoAuthority(data.to_owned()))
    }

    /// The key that verifies the messages of `boat`: that of its certificate, if it is neither revoked nor
    /// expired. Follows changes by other processes.
    pub fn boat_key(&self, boat: &BoatId, now: Timestamp) -> Option<PublicKey> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let file = FileVersion::of(&self.files.registry());
        if file != known.file {
            match Registry::read(&self.files.registry()) {
                Ok(registry) => known.registry = registry,
                // Once for each version of the file.
                Err(error) => {
                    tracing::error!(%error, "certificates unreadable; using the former ones");
                }
            }
            known.file = file;
        }
        let certificate = known.registry.current(boat)?;
        certificate.is_valid(now).then_some(certificate.public_key)
    }

    /// The key that signs the station's messages.
    pub fn station_key(&self) -> &SigningKey {
        &self.station_key
    }

    /// The files with which the station identifies itself to the broker.
    pub fn station_files(&self) -> TlsFiles {
        self.files.station()
    }

    /// The files with which the broker identifies itself to boats.
    pub fn server_files(&self) -> TlsFiles {
        self.files.server()
    }

    /// The list of revoked certificates, in PEM. It is replaced when a certificate is revoked.
    pub fn revocation_list(&self) -> PathBuf {
        self.files.revocation_list()
    }

    /// The names in the broker's certificate; none before the broker has started once.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn server_names(&self) -> Result<BTreeSet<ServerName>, AuthorityError> {
        Ok(Registry::read(&self.files.registry())?.server_names)
    }

    /// All certificates of boats, in the order in which they were made.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub fn certificates(&self) -> Result<Vec<BoatCertificate>, AuthorityError> {
        Ok(Registry::read(&self.files.registry())?.certificates)
    }

    /// Makes what the broker needs: a certificate with these names, unless it has them already, and the
    /// revocation list.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare_broker(
        &self,
        names: BTreeSet<ServerName>,
        random: &mut impl CryptoRng,
    ) -> Result<(), AuthorityError> {
        let _lock = self.files.lock()?;
        let issuer = self.issuer()?;
        let mut registry = Registry::read(&self.files.registry())?;
        let server = self.files.server();
        if registry.server_names != names || !server.certificate.is_file() {
            let validity = Validity {
                from: Timestamp(0),
                until: registry.authority_expires,
            };
            let key = SigningKey::read_file(&server.key)?;
            let certificate = issuer.server(&names, &key, Serial::random(random), validity)?;
            write_certificate(&server.certificate, &certificate)?;
            registry.server_names = names;
        }
        self.commit(&issuer, registry)
    }

    /// Makes key and certificate of a boat, and writes the folder to carry aboard. The key is kept there
    /// only.
    ///
    /// # Errors
    /// When the boat has a certificate that is not to be replaced, or a file cannot be written.
    pub fn provision(
        &self,
        request: &ProvisionRequest,
        random: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<IdentityFolder, AuthorityError> {
        let boat = &request.boat;
        if boat.as_str() == STATION_NAME {
            return Err(AuthorityError::ReservedName(boat.clone()));
        }
        let _lock = self.files.lock()?;
        let mut registry = Registry::read(&self.files.registry())?;
        if let Some(current) = registry.current(boat)
            && current.is_valid(now)
            && !request.replace
        {
            return Err(AuthorityError::AlreadyProvisioned {
                boat: boat.clone(),
                expires: current.expires,
            });
        }
        if request.out.exists() {
            return Err(AuthorityError::FolderExists(request.out.clone()));
        }
        let validity = Validity::of_boat(now, request.days, registry.authority_expires)?;
        let issuer = self.issuer()?;
        let (key, serial) = (random_key(random), Serial::random(random));
        let certificate = issuer.boat(boat, &key, serial, validity)?;
        let ca_file = self.files.ca_certificate();
        let ca = fs::read(&ca_file).map_err(AuthorityError::io("read", &ca_file))?;

        let former = registry.clone();
        let replaced = registry.revoke(boat, now);
        registry.certificates.push(BoatCertificate {
            boat: boat.clone(),
            public_key: key.public(),
            serial,
            issued: now,
            expires: validity.until,
            revoked: None,
        });
        let identity = Identity {
            boat,
            key: &key,
            certificate: &certificate,
            expires: validity.until,
            ca: &ca,
            station: self.station_key.public(),
            broker: request.broker.as_deref(),
        };
        // The registry first: a certificate that it does not list could not be revoked.
        registry.write(&self.files.registry())?;
        let written = identity
            .write(&request.out)
            .and_then(|()| self.write_boat(boat, &certificate, key.public()));
        if let Err(error) = written {
            if !matches!(error, AuthorityError::FolderExists(_)) {
                // The first error is the one to report.
                let _ = fs::remove_dir_all(&request.out);
            }
            former.write(&self.files.registry())?;
            return Err(error);
        }
        if replaced {
            self.commit(&issuer, registry)?;
        }
        Ok(IdentityFolder {
            folder: request.out.clone(),
            expires: validity.until,
        })
    }

    /// Revokes the certificate of a boat. The broker of a running station disconnects the boat within
    /// seconds.
    ///
    /// # Errors
    /// When the boat never had a certificate, or a file cannot be written.
    pub fn revoke(&self, boat: &BoatId, now: Timestamp) -> Result<Revocation, AuthorityError> {
        let _lock = self.files.lock()?;
        let mut registry = Registry::read(&self.files.registry())?;
        if !registry.certificates.iter().any(|c| c.boat == *boat) {
            return Err(AuthorityError::UnknownBoat(boat.clone()));
        }
        let revoked = registry.revoke(boat, now);
        // The list is written in any case: the one of an earlier attempt may be missing.
        self.commit(&self.issuer()?, registry)?;
        Ok(if revoked {
            Revocation::Revoked
        } else {
            Revocation::AlreadyRevoked
        })
    }

    fn issuer(&self) -> Result<Issuer, AuthorityError> {
        Issuer::new(&SigningKey::read_file(&self.files.ca_key())?)
    }

    /// Writes the registry, then the revocation list. In this order, since the list is made from the
    /// registry: of an interrupted change either nothing is known, or the next change completes it.
    fn commit(&self, issuer: &Issuer, mut registry: Registry) -> Result<(), AuthorityError> {
        registry.revocation_list += 1;
        let list = issuer.revocation_list(&registry)?;
        registry.write(&self.files.registry())?;
        write_certificate(&self.files.revocation_list(), &list)
    }

    fn write_boat(
        &self,
        boat: &BoatId,
        certificate: &str,
        key: PublicKey,
    ) -> Result<(), AuthorityError> {
        let folder = self.files.boat(boat);
        if !folder.is_dir() {
            create_private_folder(&folder).map_err(AuthorityError::io("create", &folder))?;
        }
        write_certificate(&folder.join("boat.pem"), certificate)?;
        write_certificate(&folder.join("boat.pub"), &key.to_pem())
    }
}

impl FileVersion {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self {
            modified: metadata.modified().ok()?,
            bytes: metadata.len(),
            inode,
        })
    }
}
