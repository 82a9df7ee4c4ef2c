//! Who published the bundle in use.

use crate::time::DateWindow;
use flukewatch_common::bundle::Signature;
use flukewatch_common::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// The bundle's signature in the health document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureHealth {
    /// The version of the bundle.
    pub version: u64,
    /// The key that signed it.
    pub key: String,
    /// When it expires, RFC 3339 UTC.
    pub expires: String,
    /// Whether it has expired; null where the date is unknown.
    pub expired: Option<bool>,
}

impl SignatureHealth {
    /// The state of `signature` at `now`.
    pub fn new(signature: &Signature, now: Timestamp) -> Self {
        let known = DateWindow::default().contains(now);
        Self {
            version: signature.version(),
            key: signature.key().to_string(),
            expires: signature.expires_text(),
            expired: known.then(|| signature.is_expired(now)),
        }
    }
}
