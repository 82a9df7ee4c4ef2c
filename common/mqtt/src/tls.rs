//! TLS: which authorities are trusted, and the client's certificate.

use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto::ring};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file of certificates or keys that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may sign the broker's; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate, followed by those between it and the authority; `None`: none.
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate.
    pub key: Option<PathBuf>,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file has no certificate.
    #[error("{} has no valid certificate in PEM (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// A file has no private key.
    #[error("{} has no private key in PEM (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// There is only one of certificate and key.
    #[error("a client certificate and its key are set together; one of them is missing")]
    HalfIdentity,
    /// Key and certificate do not belong together, or are of an unknown kind.
    #[error("the certificate {} and the key {} cannot be used together: {source}", .certificate.display(), .key.display())]
    Identity {
        /// Path of the certificate.
        certificate: PathBuf,
        /// Path of the key.
        key: PathBuf,
        /// What rustls reports.
        source: rustls::Error,
    },
    /// The system has no certificates of authorities.
    #[error(
        "this system has no certificates of authorities (on Debian: apt install ca-certificates); set a CA file"
    )]
    NoSystemRoots,
    /// The TLS library rejects the settings.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsFiles {
    /// The configuration of a TLS client. Reads the files, so that a renewed certificate is used by the next
    /// connection.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let key_bytes = read(key)?;
                let private = PrivateKeyDer::from_pem_slice(&key_bytes)
                    .map_err(|_| TlsError::NoKey(key.clone()))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|source| TlsError::Identity {
                        certificate: certificate.clone(),
                        key: key.clone(),
                        source,
                    })?
            }
            _ => return Err(TlsError::HalfIdentity),
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.ca {
            let (valid, _) = roots.add_parsable_certificates(certificates(file)?);
            if valid == 0 {
                return Err(TlsError::NoCertificate(file.clone()));
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            let (valid, _) = roots.add_parsable_certificates(found.certs);
            if valid == 0 {
                return Err(TlsError::NoSystemRoots);
            }
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate(file.to_owned())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |source| TlsError::Read {
        file: file.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(error)?;
    opened
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    Ok(bytes)
}
