//! The signature of the bundle in use.

use flukewatch_common::bundle::{AcceptedBundle, Bundle, BundleTrust, Signature};

/// The signature of a bundle, by a trusted key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    signature: Signature,
    manifest_sha256: String,
}

impl VerifiedSignature {
    /// The signature of a bundle that was opened with `trust`; `None` where every bundle is used.
    pub fn of(bundle: &Bundle, trust: &BundleTrust) -> Option<Self> {
        match trust {
            BundleTrust::Everyone => None,
            BundleTrust::Keys(_) => Some(Self {
                signature: bundle.signature()?.clone(),
                manifest_sha256: bundle.manifest_sha256(),
            }),
        }
    }

    /// The signature itself.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The bundle as it is noted once it has worked.
    pub fn accepted(&self) -> AcceptedBundle {
        AcceptedBundle {
            manifest_sha256: self.manifest_sha256.clone(),
            version: self.signature.version(),
        }
    }
}
