//! What the boat thinks of its bundle, and accepting one on purpose.

use super::accepted_file::AcceptedFile;
use super::policy::bundle_trust;
use super::verified::VerifiedSignature;
use crate::bounded_note::NoteError;
use crate::config::Config;
use crate::received_bundles::ReceivedBundles;
use flukewatch_common::bundle::{
    Accepted, AcceptedBundle, Bundle, BundleError, BundleHead, BundleTrust, TrustedKeys,
};
use flukewatch_common::clock::Clock;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The bundle of a configuration, and whether the boat uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustReport {
    /// Path of the bundle.
    pub bundle: PathBuf,
    /// The key that it says it is signed by; null where it is not signed.
    pub key: Option<String>,
    /// The version of its signature.
    pub version: Option<u64>,
    /// When the signature expires, RFC 3339 UTC.
    pub expires: Option<String>,
    /// The version of the bundle that was used last; null where there is none.
    pub last_version: Option<u64>,
    /// Why the bundle is not used; null where it is.
    pub error: Option<String>,
}

/// Why a bundle cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The bundle cannot be used, or is not signed by a trusted key.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Every bundle is used.
    #[error("[bundle] allow_unsigned is true: every bundle is used, and none has to be accepted")]
    Lab,
    /// The note cannot be written.
    #[error("cannot note the bundle in {0}")]
    Write(#[from] NoteError),
}

/// Says whether the boat uses the bundle of `config`. Only its manifest and signature are read.
///
/// # Errors
/// When they cannot be read.
pub fn report(config: &Config, clock: &dyn Clock) -> Result<TrustReport, BundleError> {
    let path = &ReceivedBundles::of(config).path_in_use();
    let head = BundleHead::read(path)?;
    let trust = bundle_trust(config, clock);
    let signature = head.signature();
    let last_version = match &trust {
        BundleTrust::Keys(TrustedKeys {
            accepted: Accepted::Bundle(last),
            ..
        }) => Some(last.version),
        _ => None,
    };
    Ok(TrustReport {
        bundle: path.clone(),
        key: signature.map(|s| s.key().to_string()),
        version: signature.map(|s| s.version()),
        expires: signature.map(|s| s.expires_text()),
        last_version,
        error: head.check(path, &trust).err().map(|e| e.to_string()),
    })
}

/// Accepts the bundle of `config` whatever its version and the date are, if it is whole and a trusted key
/// signed it: from now on it counts as the one in use.
///
/// # Errors
/// When it is not, or cannot be noted.
pub fn accept(config: &Config, clock: &dyn Clock) -> Result<AcceptedBundle, AcceptError> {
    let trust = match bundle_trust(config, clock) {
        BundleTrust::Everyone => return Err(AcceptError::Lab),
        BundleTrust::Keys(keys) => BundleTrust::Keys(TrustedKeys {
            accepted: Accepted::Unknown,
            ..keys
        }),
    };
    let path = ReceivedBundles::of(config).path_in_use();
    let bundle = Bundle::open_trusted(&path, &trust)?;
    let signature = VerifiedSignature::of(&bundle, &trust);
    let signature = signature.expect("with trusted keys, a bundle that opens is signed");
    let accepted = signature.accepted();
    AcceptedFile::new(&config.outbox.path).note(&accepted)?;
    Ok(accepted)
}

impl fmt::Display for TrustReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundle = self.bundle.display();
        match (&self.key, self.version, &self.expires) {
            (Some(key), Some(version), Some(expires)) => writeln!(
                f,
                "{bundle}: version {version}, signed by {key}, expires {expires}"
            )?,
            _ => writeln!(f, "{bundle}: not signed")?,
        }
        match self.last_version {
            Some(version) => writeln!(f, "used last: version {version}")?,
            None => writeln!(f, "used last: none that is signed")?,
        }
        match &self.error {
            None => writeln!(f, "ok: this boat uses it"),
            Some(error) => writeln!(f, "ERROR {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
