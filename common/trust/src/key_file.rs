//! Keys in PEM files: PKCS#8 (RFC 8410) for signing keys, SubjectPublicKeyInfo for public ones.

use crate::public_key::PublicKey;
use crate::signing_key::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey, EncodePublicKey};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest key file that is read.
const MAX_BYTES: u64 = 16 * 1024;

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the key file {}: {source}", .file.display())]
    Read {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the key file {}: {source}", .file.display())]
    Write {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not a private key.
    #[error("{} is not an Ed25519 private key (PKCS#8, PEM): it begins with -----BEGIN PRIVATE KEY-----", .0.display())]
    NotPrivate(PathBuf),
    /// The file is not a public key.
    #[error("{} is not an Ed25519 public key: expected PEM (-----BEGIN PUBLIC KEY-----) or a line 'ed25519:...'", .0.display())]
    NotPublic(PathBuf),
}

impl SigningKey {
    /// Reads a private key from a PKCS#8 PEM file, as written by [`SigningKey::create_file`] or
    /// `openssl genpkey -algorithm ed25519`.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a key.
    pub fn read_file(file: &Path) -> Result<Self, KeyFileError> {
        let text = read(file)?;
        text.as_deref()
            .and_then(Self::from_pem)
            .ok_or_else(|| KeyFileError::NotPrivate(file.to_owned()))
    }

    /// Reads a private key from PKCS#8 in PEM; `None` if it is not one.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim_start()).ok()?;
        Some(Self::from_seed(key.to_bytes()))
    }

    /// The key as PKCS#8 in PEM. Without the public key, since OpenSSL before 3.5 does not read a file
    /// with both.
    pub fn to_pem(&self) -> String {
        let key = KeypairBytes {
            secret_key: self.inner().to_bytes(),
            public_key: None,
        };
        let pem = key.to_pkcs8_pem(LineEnding::LF);
        pem.expect("32 bytes fit in PKCS#8").to_string()
    }

    /// Writes the key to a new file that only its owner can read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_file(&self, file: &Path) -> Result<(), KeyFileError> {
        let write_error = |source| KeyFileError::Write {
            file: file.to_owned(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut created = options.open(file).map_err(write_error)?;
        created
            .write_all(self.to_pem().as_bytes())
            .and_then(|()| created.sync_all())
            .map_err(write_error)
    }
}

impl PublicKey {
    /// Reads a public key from a file: PEM, or a line as the key is displayed.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a key.
    pub fn read_file(file: &Path) -> Result<Self, KeyFileError> {
        let text = read(file)?;
        let key = text.as_deref().and_then(|text| {
            let pem = ed25519_dalek::VerifyingKey::from_public_key_pem(text.trim_start());
            match pem {
                Ok(key) => Self::from_bytes(key.as_bytes()).ok(),
                Err(_) => text.parse().ok(),
            }
        });
        key.ok_or_else(|| KeyFileError::NotPublic(file.to_owned()))
    }

    /// The key as SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        self.verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .expect("32 bytes fit in SubjectPublicKeyInfo")
    }
}

/// The file's text; `None` if it is too large or not text.
fn read(file: &Path) -> Result<Option<String>, KeyFileError> {
    let read_error = |source| KeyFileError::Read {
        file: file.to_owned(),
        source,
    };
    let opened = std::fs::File::open(file).map_err(read_error)?;
    let mut bytes = Vec::new();
    opened
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purpose::Purpose;

    #[test]
    fn keys_survive_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("key"), folder.path().join("pub"));
        let key = SigningKey::from_seed([9; 32]);
        key.create_file(&private).unwrap();
        let read = SigningKey::read_file(&private).unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(
            read.sign(Purpose::Bundle, b"x"),
            key.sign(Purpose::Bundle, b"x")
        );
        for content in [key.public().to_pem(), format!("{}\n", key.public())] {
            std::fs::write(&public, content).unwrap();
            assert_eq!(PublicKey::read_file(&public).unwrap(), key.public());
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_a_private_key_and_no_file_is_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        SigningKey::from_seed([9; 32]).create_file(&file).unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = SigningKey::from_seed([8; 32]).create_file(&file);
        assert!(matches!(again, Err(KeyFileError::Write { .. })));
        let kept = SigningKey::read_file(&file).unwrap().public();
        assert_eq!(kept, SigningKey::from_seed([9; 32]).public());
    }

    #[test]
    fn what_is_not_a_key_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let public = SigningKey::from_seed([9; 32]).public().to_pem();
        let large = vec![b'-'; 20_000];
        for content in [&b""[..], b"\xff", &large, public.as_bytes()] {
            std::fs::write(&file, content).unwrap();
            let error = SigningKey::read_file(&file).unwrap_err();
            assert!(matches!(error, KeyFileError::NotPrivate(_)), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()));
        }
        let private = SigningKey::from_seed([9; 32]).to_pem();
        std::fs::write(&file, private).unwrap();
        let error = PublicKey::read_file(&file).unwrap_err();
        assert!(matches!(error, KeyFileError::NotPublic(_)), "{error}");
    }
}
