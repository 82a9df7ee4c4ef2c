//! Where the authority's files are, and the lock on them.

use super::error::AuthorityError;
use flukewatch_common::sighting::BoatId;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

/// The files with which a program identifies itself in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the authority that the other side's certificate must be from.
    pub ca: PathBuf,
    /// The program's own certificate.
    pub certificate: PathBuf,
    /// The private key of `certificate`.
    pub key: PathBuf,
}

/// The authority's folder.
#[derive(Clone, Debug)]
pub(super) struct AuthorityFiles {
    folder: PathBuf,
}

impl AuthorityFiles {
    /// Those in the station's data folder.
    pub(super) fn in_data(data: &Path) -> Self {
        Self {
            folder: data.join("authority"),
        }
    }

    /// Those in a folder whose name is not final.
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn ca_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    pub(super) fn ca_certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(super) fn registry(&self) -> PathBuf {
        self.folder.join("certificates.json")
    }

    pub(super) fn revocation_list(&self) -> PathBuf {
        self.folder.join("revoked.pem")
    }

    pub(super) fn boat(&self, boat: &BoatId) -> PathBuf {
        self.folder.join("boats").join(boat.as_str())
    }

    pub(super) fn station(&self) -> TlsFiles {
        self.tls("station")
    }

    pub(super) fn server(&self) -> TlsFiles {
        self.tls("server")
    }

    fn tls(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: self.ca_certificate(),
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        }
    }

    /// Waits until no other process changes the certificates, and locks them until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, AuthorityError> {
        let path = self.folder.join("lock");
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let file = options
            .open(&path)
            .map_err(AuthorityError::io("open", &path))?;
        file.lock().map_err(AuthorityError::io("lock", &path))?;
        Ok(file)
    }
}

/// Creates a folder that only its owner can open.
///
/// # Errors
/// When it exists or cannot be created.
pub(super) fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
