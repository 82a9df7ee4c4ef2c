//! The offer of a bundle to a boat, and its file.

use super::error::BundlesError;
use super::stored_bundle::StoredBundle;
use crate::random::new_id;
use crate::store::RecordedOffer;
use flukewatch_common::bundle::Signature;
use flukewatch_common::bundle_transfer::{BundleOffer, ContentId};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// The format of the file.
const FORMAT: u32 = 1;

/// The offer of a bundle to a boat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The boat.
    pub boat: BoatId,
    /// A UUIDv7.
    pub id: Uuid,
    /// The bundle's manifest.
    pub manifest: ContentId,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// The bundle's signature when it was offered; `None` where it was not signed.
    pub signature: Option<Signature>,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    boat: BoatId,
    offer: Uuid,
    manifest_sha256: String,
    offered_at: String,
    /// The text of `signature.json`.
    signature: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Offer {
    /// A new offer of `bundle`.
    pub fn new(
        boat: BoatId,
        bundle: &StoredBundle,
        signature: Option<Signature>,
        random: &mut impl Rng,
        now: Timestamp,
    ) -> Self {
        Self {
            boat,
            id: new_id(random, now),
            manifest: bundle.manifest(),
            offered_at: now,
            signature,
        }
    }

    /// The version of the bundle; `None` where it is not signed.
    pub fn version(&self) -> Option<u64> {
        self.signature.as_ref().map(Signature::version)
    }

    /// The message that offers it. `bundle` is the one with [`Offer::manifest`].
    pub fn message(&self, bundle: &StoredBundle) -> BundleOffer {
        let signature = self.signature.as_ref();
        BundleOffer {
            boat: self.boat.clone(),
            id: self.id,
            manifest: self.manifest,
            manifest_bytes: bundle.manifest_bytes(),
            signature: signature.map(Signature::to_bytes).unwrap_or_default(),
        }
    }

    /// What the store records of it. `bundle` is the one with [`Offer::manifest`].
    pub fn recorded(&self, bundle: &StoredBundle) -> RecordedOffer {
        RecordedOffer {
            id: self.id,
            boat: self.boat.clone(),
            manifest: self.manifest,
            name: bundle.name().to_owned(),
            version: self.version(),
            offered_at: self.offered_at,
        }
    }

    /// The bytes of its file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let signature = self.signature.as_ref().map(Signature::to_bytes);
        let document = Document {
            format: FORMAT,
            boat: self.boat.clone(),
            offer: self.id,
            manifest_sha256: self.manifest.to_string(),
            offered_at: self.offered_at.to_string(),
            signature: signature.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        };
        let mut bytes =
            serde_json::to_vec_pretty(&document).expect("numbers and texts can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the bytes of `file`, the offer to `boat`.
    pub(super) fn from_bytes(
        file: &Path,
        boat: &BoatId,
        bytes: &[u8],
    ) -> Result<Self, BundlesError> {
        let damaged = |problem: String| BundlesError::Damaged {
            file: file.to_owned(),
            problem,
        };
        let json = |error: serde_json::Error| damaged(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format > FORMAT {
            return Err(BundlesError::Newer {
                file: file.to_owned(),
                format,
            });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(json)?;
        if document.boat != *boat {
            return Err(damaged(format!("it is an offer to boat {}", document.boat)));
        }
        let manifest = document.manifest_sha256.parse();
        let offered_at: Result<jiff::Timestamp, _> = document.offered_at.parse();
        let offered_at = offered_at.map_err(|error| damaged(error.to_string()))?;
        let signature = document.signature.as_deref().map(str::as_bytes);
        let signature = signature.map(Signature::from_bytes).transpose();
        Ok(Self {
            boat: document.boat,
            id: document.offer,
            manifest: manifest.map_err(|error| damaged(format!("manifest_sha256: {error}")))?,
            offered_at: Timestamp(offered_at.as_millisecond()),
            signature: signature.map_err(|error| damaged(format!("signature: {error}")))?,
        })
    }
}
