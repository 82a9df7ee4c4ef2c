//! What decides whether a bundle is used, read before anything else of it.

use super::BundleError;
use super::manifest::Manifest;
use super::signature::Signature;
use super::trust::BundleTrust;
use crate::sha256::sha256_hex;
use std::path::Path;

/// A bundle's manifest, as it stands in its file, and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleHead {
    manifest_bytes: Vec<u8>,
    signature: Option<Signature>,
}

impl BundleHead {
    /// The head of these two files; `path` is for errors. This does not verify the signature.
    ///
    /// # Errors
    /// When the signature's file is not one.
    pub fn from_bytes(
        path: &Path,
        manifest: Vec<u8>,
        signature: Option<&[u8]>,
    ) -> Result<Self, BundleError> {
        let signature = signature
            .map(Signature::from_bytes)
            .transpose()
            .map_err(|source| BundleError::Signature {
                path: path.into(),
                source,
            })?;
        Ok(Self {
            manifest_bytes: manifest,
            signature,
        })
    }

    /// The bytes of `manifest.json`.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// The SHA-256 of `manifest.json`, 64 hexadecimal digits.
    pub fn manifest_sha256(&self) -> String {
        sha256_hex(&self.manifest_bytes)
    }

    /// The bundle's id: the first 12 digits of the manifest's SHA-256.
    pub fn id(&self) -> String {
        self.manifest_sha256().chars().take(12).collect()
    }

    /// The signature, which may be invalid until [`BundleHead::check`] has verified it.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The manifest; `path` is for errors.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn manifest(&self, path: &Path) -> Result<Manifest, BundleError> {
        Manifest::read(path, &self.manifest_bytes)
    }

    /// Checks whether the bundle at `path` is used.
    ///
    /// # Errors
    /// [`BundleError::Untrusted`] when it is not.
    pub fn check(&self, path: &Path, trust: &BundleTrust) -> Result<(), BundleError> {
        trust
            .check(&self.manifest_bytes, self.signature())
            .map_err(|source| BundleError::Untrusted {
                path: path.into(),
                source,
            })
    }

    /// Manifest and signature.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<Signature>) {
        (self.manifest_bytes, self.signature)
    }
}
