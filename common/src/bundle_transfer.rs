//! The messages with which a bundle travels from the station to a boat.
//!
//! The station offers a bundle ([`BundleOffer`]); the broker retains the offer until the boat has dealt with
//! it. The boat requests what it lacks, piece by piece and as fast as its link permits
//! ([`ContentRequest`], [`ContentPiece`]): the station keeps no state of a transfer, and an interrupted one
//! is resumed where it ended. Manifest and parts are requested by their SHA-256 alike. The boat reports how
//! far it is, and what became of the bundle ([`TransferReport`]).

use crate::bundle::{MAX_MANIFEST, MAX_SIGNATURE};
use crate::clock::Timestamp;
use crate::sha256::hex;
use crate::sighting::{BoatId, MAX_REASON_BYTES};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The largest piece of a content in bytes.
pub const MAX_PIECE: u32 = 64 * 1024;

/// The SHA-256 of a content: of a bundle's manifest or of one of its parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId([u8; 32]);

/// A text is not a SHA-256 in 64 hexadecimal digits of lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256: 64 hexadecimal digits in lower case")]
pub struct InvalidContentId;

impl ContentId {
    /// The id of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }
}

impl From<[u8; 32]> for ContentId {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl From<ContentId> for [u8; 32] {
    fn from(id: ContentId) -> Self {
        id.0
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentId {
    type Err = InvalidContentId;

    fn from_str(text: &str) -> Result<Self, InvalidContentId> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(InvalidContentId);
        }
        for (byte, index) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let digits = u8::from_str_radix(&text[index..index + 2], 16);
            *byte = digits.map_err(|_| InvalidContentId)?;
        }
        Ok(Self(bytes))
    }
}

/// A bundle that the station offers to a boat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleOffer {
    /// The boat's name.
    pub boat: BoatId,
    /// Identifies the offer: a bundle that a boat has rejected can be offered again.
    pub id: Uuid,
    /// The bundle's manifest.
    pub manifest: ContentId,
    /// The size of the manifest's file in bytes.
    pub manifest_bytes: u32,
    /// The bytes of the signature's file; empty where the bundle is not signed.
    pub signature: Vec<u8>,
}

/// A message about a bundle with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransfer {
    /// The manifest is empty or too large.
    #[error("manifest of {0} bytes; expected 1 to {MAX_MANIFEST}")]
    Manifest(u32),
    /// The signature's file is too large.
    #[error("signature of more than {MAX_SIGNATURE} bytes")]
    Signature,
    /// More is received than there is.
    #[error("more bytes received than there are")]
    Received,
    /// The reason is too long, or more than one line.
    #[error("reason of more than {MAX_REASON_BYTES} bytes or one line")]
    Reason,
}

impl BundleOffer {
    /// Checks the sizes.
    ///
    /// # Errors
    /// When one of them is out of range.
    pub fn validate(&self) -> Result<(), InvalidTransfer> {
        let bytes = self.manifest_bytes;
        if bytes == 0 || u64::from(bytes) > MAX_MANIFEST {
            return Err(InvalidTransfer::Manifest(bytes));
        }
        if self.signature.len() as u64 > MAX_SIGNATURE {
            return Err(InvalidTransfer::Signature);
        }
        Ok(())
    }
}

/// A boat asks for a piece of a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRequest {
    /// The boat's name.
    pub boat: BoatId,
    /// The offer that it belongs to.
    pub offer: Uuid,
    /// The content.
    pub content: ContentId,
    /// Where the piece begins.
    pub offset: u64,
    /// Its size at most: the last piece of a content may be smaller. The station sends at most [`MAX_PIECE`].
    pub max_bytes: u32,
}

/// A piece of a content, the station's answer to a [`ContentRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentPiece {
    /// The boat's name.
    pub boat: BoatId,
    /// The content.
    pub content: ContentId,
    /// Where the piece begins.
    pub offset: u64,
    /// The bytes; `None` where the station does not offer this content to the boat any more.
    pub piece: Option<Vec<u8>>,
}

impl fmt::Debug for ContentPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentPiece")
            .field("boat", &self.boat)
            .field("content", &self.content)
            .field("offset", &self.offset)
            .field("bytes", &self.piece.as_ref().map(Vec::len))
            .finish()
    }
}

/// What a boat says of a bundle that was offered to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferReport {
    /// The boat's name.
    pub boat: BoatId,
    /// The offer.
    pub offer: Uuid,
    /// When, by the boat's UTC clock.
    pub at: Timestamp,
    /// How far it is.
    pub progress: TransferProgress,
}

/// How far a bundle is on a boat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferProgress {
    /// It is being received.
    Receiving {
        /// Bytes of the bundle's parts that are aboard, copied from another bundle there or received.
        received: u64,
        /// Bytes of all its parts; the difference has to be transferred.
        total: u64,
    },
    /// It is complete, and its self-test runs.
    Testing,
    /// It is in use, and is observed for the first minutes.
    OnTrial,
    /// It is in use.
    Active,
    /// It is not used: not trusted, damaged, or its self-test failed.
    Rejected {
        /// Why, in one line.
        reason: String,
    },
    /// It was in use, and the boat has returned to the bundle before it.
    RolledBack {
        /// Why, in one line.
        reason: String,
    },
}

impl TransferProgress {
    /// Whether it does not change any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Receiving { .. } | Self::Testing | Self::OnTrial => false,
            Self::Active | Self::Rejected { .. } | Self::RolledBack { .. } => true,
        }
    }
}

impl TransferReport {
    /// Checks what a boat says.
    ///
    /// # Errors
    /// When a number is impossible, or a reason too long.
    pub fn validate(&self) -> Result<(), InvalidTransfer> {
        match &self.progress {
            TransferProgress::Receiving { received, total } if received > total => {
                Err(InvalidTransfer::Received)
            }
            TransferProgress::Rejected { reason } | TransferProgress::RolledBack { reason }
                if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) =>
            {
                Err(InvalidTransfer::Reason)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn boat() -> BoatId {
        "balaena".parse().unwrap()
    }

    fn offer() -> BundleOffer {
        BundleOffer {
            boat: boat(),
            id: Uuid::from_u128(7),
            manifest: ContentId::of(b"manifest"),
            manifest_bytes: 8,
            signature: b"signature".to_vec(),
        }
    }

    #[test]
    fn an_id_is_written_and_read_as_hexadecimal_digits() {
        let id = ContentId::of(b"abc");
        // FIPS 180-4, example B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        for invalid in ["", &text[1..], &text.to_uppercase(), &"é".repeat(32)] {
            assert_eq!(invalid.parse::<ContentId>(), Err(InvalidContentId));
        }
    }

    #[test]
    fn messages_survive_their_envelope_and_are_small() {
        let request = ContentRequest {
            boat: boat(),
            offer: Uuid::from_u128(7),
            content: ContentId::of(b"part"),
            offset: 1 << 40,
            max_bytes: MAX_PIECE,
        };
        let bytes = wire::encode(&request).unwrap();
        assert!(bytes.len() < 100, "{}", bytes.len());
        assert_eq!(wire::decode(&bytes), Ok(request));
        let piece = ContentPiece {
            boat: boat(),
            content: ContentId::of(b"part"),
            offset: 3,
            piece: Some(vec![1; MAX_PIECE as usize]),
        };
        let bytes = wire::encode(&piece).unwrap();
        assert!(bytes.len() < MAX_PIECE as usize + 80, "{}", bytes.len());
        assert_eq!(wire::decode(&bytes), Ok(piece));
        let bytes = wire::encode(&offer()).unwrap();
        assert_eq!(wire::decode(&bytes), Ok(offer()));
        let report = TransferReport {
            boat: boat(),
            offer: Uuid::from_u128(7),
            at: Timestamp(5),
            progress: TransferProgress::Receiving {
                received: 1,
                total: 2,
            },
        };
        let bytes = wire::encode(&report).unwrap();
        assert!(bytes.len() < 50, "{}", bytes.len());
        assert_eq!(wire::decode(&bytes), Ok(report));
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(offer().validate(), Ok(()));
        for manifest_bytes in [0, MAX_MANIFEST as u32 + 1] {
            let invalid = BundleOffer {
                manifest_bytes,
                ..offer()
            };
            let error = InvalidTransfer::Manifest(manifest_bytes);
            assert_eq!(invalid.validate(), Err(error));
        }
        let invalid = BundleOffer {
            signature: vec![b' '; MAX_SIGNATURE as usize + 1],
            ..offer()
        };
        assert_eq!(invalid.validate(), Err(InvalidTransfer::Signature));
    }

    #[test]
    fn impossible_reports_are_invalid() {
        let validated = |progress| {
            let report = TransferReport {
                boat: boat(),
                offer: Uuid::nil(),
                at: Timestamp(0),
                progress,
            };
            report.validate()
        };
        let receiving = |received| TransferProgress::Receiving { received, total: 9 };
        assert_eq!(validated(receiving(9)), Ok(()));
        assert_eq!(validated(receiving(10)), Err(InvalidTransfer::Received));
        for (reason, expected) in [
            ("x".repeat(MAX_REASON_BYTES), Ok(())),
            (
                "x".repeat(MAX_REASON_BYTES + 1),
                Err(InvalidTransfer::Reason),
            ),
            ("a\nb".into(), Err(InvalidTransfer::Reason)),
        ] {
            let rejected = TransferProgress::Rejected {
                reason: reason.clone(),
            };
            assert_eq!(validated(rejected), expected);
            assert_eq!(validated(TransferProgress::RolledBack { reason }), expected);
        }
    }
}
