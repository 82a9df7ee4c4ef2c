//! A bundle's signature: who published it, which of two is newer, and until when it can be accepted.
//!
//! It is in a file beside the manifest, so that signing does not change the bundle's id. The manifest
//! holds the SHA-256 of every part, so that a signature of the manifest covers the whole bundle.

use crate::clock::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flukewatch_trust::{BadSignature, PublicKey, Purpose, SIGNATURE_BYTES, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The signature's file name.
pub const SIGNATURE_FILE: &str = "signature.json";

/// The size limit of the signature's file, in bytes.
pub const MAX_SIGNATURE: u64 = 1024;

/// The highest version: the largest integer that every JSON reader represents exactly.
pub const MAX_VERSION: u64 = (1 << 53) - 1;

/// The format of the file.
const FORMAT: u32 = 1;

/// What precedes hash, version and expiry in the signed bytes. It changes with [`FORMAT`].
const TAG: &[u8] = b"manifest 1\0";

/// What a signature says besides who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureTerms {
    /// 1 to [`MAX_VERSION`]. A boat does not go back from a higher to a lower one.
    pub version: u64,
    /// Until when a boat accepts the bundle as a new one; whole seconds.
    pub expires: Timestamp,
}

/// The signature of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    terms: SignatureTerms,
    key: PublicKey,
    signature: [u8; SIGNATURE_BYTES],
}

/// Why a file is not a signature, or terms cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSignature {
    /// The file is too large.
    #[error("it has more than {MAX_SIGNATURE} bytes")]
    TooLarge,
    /// The file is not the expected JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Made by another version of the program.
    #[error("unsupported format {0}; expected {FORMAT}")]
    Format(u32),
    /// The version is out of range.
    #[error("version {0}; expected 1 to {MAX_VERSION}")]
    Version(u64),
    /// The time is not in the one form that is accepted.
    #[error("expires '{0}'; expected a time in UTC in whole seconds, e.g. 2027-12-01T00:00:00Z")]
    Expires(String),
    /// The key is not a public key.
    #[error("key '{0}' is not an Ed25519 public key")]
    Key(String),
    /// The signature is not 64 bytes in base64.
    #[error("its field signature is not {SIGNATURE_BYTES} bytes in base64")]
    Signature,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    version: u64,
    expires: String,
    key: String,
    signature: String,
}

impl Signature {
    /// Signs the manifest, given as the bytes of its file.
    ///
    /// # Errors
    /// When version or expiry are out of range.
    pub fn new(
        key: &SigningKey,
        manifest: &[u8],
        terms: SignatureTerms,
    ) -> Result<Self, InvalidSignature> {
        let terms = terms.validated()?;
        Ok(Self {
            terms,
            key: key.public(),
            signature: key.sign(Purpose::Bundle, &terms.signed_content(manifest)),
        })
    }

    /// Reads the signature's file. This does not verify it.
    ///
    /// # Errors
    /// When the bytes are not such a file in every detail.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSignature> {
        if bytes.len() as u64 > MAX_SIGNATURE {
            return Err(InvalidSignature::TooLarge);
        }
        let Document {
            format,
            version,
            expires,
            key,
            signature,
        } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(InvalidSignature::Format(format));
        }
        let Some(at) = parse_time(&expires) else {
            return Err(InvalidSignature::Expires(expires));
        };
        let Some(public) = parse_key(&key) else {
            return Err(InvalidSignature::Key(key));
        };
        let signature = STANDARD
            .decode(signature)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(InvalidSignature::Signature)?;
        let terms = SignatureTerms {
            version,
            expires: at,
        };
        Ok(Self {
            terms: terms.validated()?,
            key: public,
            signature,
        })
    }

    /// The bytes of the signature's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            version: self.terms.version,
            expires: self.expires_text(),
            key: self.key.to_string(),
            signature: STANDARD.encode(self.signature),
        };
        let mut bytes =
            serde_json::to_vec_pretty(&document).expect("numbers and texts can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Verifies that the owner of [`Signature::key`] signed this manifest with this version and expiry.
    ///
    /// # Errors
    /// When any of them was altered.
    pub fn verify(&self, manifest: &[u8]) -> Result<(), BadSignature> {
        let content = self.terms.signed_content(manifest);
        self.key.verify(Purpose::Bundle, &content, &self.signature)
    }

    /// The key that verifies it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The version of the bundle.
    pub fn version(&self) -> u64 {
        self.terms.version
    }

    /// When it expires.
    pub fn expires(&self) -> Timestamp {
        self.terms.expires
    }

    /// When it expires, RFC 3339 in UTC and whole seconds.
    pub fn expires_text(&self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.terms.expires.0);
        time.expect("validated when it was made").to_string()
    }

    /// Whether it has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.terms.expires
    }
}

impl SignatureTerms {
    fn validated(self) -> Result<Self, InvalidSignature> {
        if !(1..=MAX_VERSION).contains(&self.version) {
            return Err(InvalidSignature::Version(self.version));
        }
        let time = jiff::Timestamp::from_millisecond(self.expires.0);
        let written = time.as_ref().map(ToString::to_string).unwrap_or_default();
        if parse_time(&written) != Some(self.expires) {
            return Err(InvalidSignature::Expires(self.expires.to_string()));
        }
        Ok(self)
    }

    /// The bytes that are signed: tag, SHA-256 of the manifest, version, seconds since 1970, the numbers
    /// big-endian. All have a fixed length, so that no two contents have the same bytes.
    fn signed_content(&self, manifest: &[u8]) -> Vec<u8> {
        let mut content = TAG.to_vec();
        content.extend(Sha256::digest(manifest));
        content.extend(self.version.to_be_bytes());
        content.extend((self.expires.0 / 1000).to_be_bytes());
        content
    }
}

/// A time in the form in which it is written, with years of four digits.
fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let whole = time.subsec_nanosecond() == 0 && text.len() == "2027-12-01T00:00:00Z".len();
    (whole && time.to_string() == text).then(|| Timestamp(time.as_millisecond()))
}

/// A key in the form in which it is written.
fn parse_key(text: &str) -> Option<PublicKey> {
    let key: PublicKey = text.parse().ok()?;
    (key.to_string() == text).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXPIRES: Timestamp = Timestamp(1_827_619_200_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    fn terms(version: u64) -> SignatureTerms {
        SignatureTerms {
            version,
            expires: EXPIRES,
        }
    }

    fn signature() -> Signature {
        Signature::new(&key(1), b"manifest", terms(7)).unwrap()
    }

    /// The file with one field changed.
    fn with(field: &str, value: serde_json::Value) -> Result<Signature, InvalidSignature> {
        let mut document: serde_json::Value =
            serde_json::from_slice(&signature().to_bytes()).unwrap();
        document[field] = value;
        Signature::from_bytes(&serde_json::to_vec(&document).unwrap())
    }

    #[test]
    fn the_signed_bytes_are_the_documented_ones() {
        let mut content = b"manifest 1\0".to_vec();
        content.extend(Sha256::digest(b"manifest"));
        content.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        content.extend(1_827_619_200_u64.to_be_bytes());
        let signature = signature();
        let public = key(1).public();
        assert_eq!(signature.key(), &public);
        let verified = public.verify(Purpose::Bundle, &content, &signature.signature);
        assert!(verified.is_ok());
        assert_eq!(signature.expires_text(), "2027-12-01T00:00:00Z");
    }

    #[test]
    fn it_is_valid_for_its_manifest_version_and_expiry_alone() {
        assert!(signature().verify(b"manifest").is_ok());
        assert!(signature().verify(b"manifest ").is_err());
        assert!(
            with("version", 8.into())
                .unwrap()
                .verify(b"manifest")
                .is_err()
        );
        let later = with("expires", "2027-12-01T00:00:01Z".into()).unwrap();
        assert!(later.verify(b"manifest").is_err());
        let other = with("key", key(2).public().to_string().into()).unwrap();
        assert!(other.verify(b"manifest").is_err());
    }

    #[test]
    fn a_file_that_differs_in_a_detail_is_rejected() {
        for (field, value) in [
            ("format", 2.into()),
            ("version", 0.into()),
            ("version", (MAX_VERSION + 1).into()),
            ("version", (-1).into()),
            ("version", 7.0.into()),
            ("version", "7".into()),
            ("expires", "2027-12-01T00:00:00.000Z".into()),
            ("expires", "2027-12-01T00:00:00.5Z".into()),
            ("expires", "2027-12-01T01:00:00+01:00".into()),
            ("expires", "2027-12-01 00:00:00Z".into()),
            ("expires", "2027-12-01t00:00:00z".into()),
            ("expires", "2027-12-01".into()),
            ("expires", "+012027-12-01T00:00:00Z".into()),
            ("expires", "-009999-01-02T00:00:00Z".into()),
            ("expires", 1_827_619_200.into()),
            ("key", format!(" {}", key(1).public()).into()),
            ("key", "ed25519:".into()),
            ("key", serde_json::Value::Null),
            ("signature", "".into()),
            ("signature", "A".repeat(86).into()),
            ("signature", format!("{}==", "A".repeat(85)).into()),
            ("signature", format!("{}B==", "A".repeat(85)).into()),
            ("other", 1.into()),
        ] {
            assert!(with(field, value.clone()).is_err(), "{field}: {value}");
        }
        let written = signature().to_bytes();
        for end in 0..written.len() - 1 {
            assert!(Signature::from_bytes(&written[..end]).is_err(), "{end}");
        }
        let trailing = [&written[..], b"{}"].concat();
        assert!(Signature::from_bytes(&trailing).is_err());
        let text = String::from_utf8(written).unwrap();
        let twice = text.replace("\"version\": 7", "\"version\": 7, \"version\": 8");
        assert!(Signature::from_bytes(twice.as_bytes()).is_err());
        let large = [text.as_bytes(), &[b' '; 1024]].concat();
        let error = Signature::from_bytes(&large).unwrap_err();
        assert!(matches!(error, InvalidSignature::TooLarge), "{error}");
    }

    #[test]
    fn terms_that_cannot_be_written_are_not_signed() {
        for (version, expires) in [
            (0, EXPIRES),
            (MAX_VERSION + 1, EXPIRES),
            (1, Timestamp(EXPIRES.0 + 1)),
            (1, Timestamp(i64::MAX)),
            (1, Timestamp(i64::MIN)),
        ] {
            let terms = SignatureTerms { version, expires };
            assert!(Signature::new(&key(1), b"", terms).is_err(), "{terms:?}");
        }
    }

    proptest! {
        #[test]
        fn a_signature_survives_its_file(
            version in 1..=MAX_VERSION,
            seconds in -62_135_596_800..253_402_207_200i64,
            manifest in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let terms = SignatureTerms { version, expires: Timestamp(seconds * 1000) };
            let made = Signature::new(&key(3), &manifest, terms).unwrap();
            let bytes = made.to_bytes();
            prop_assert!(bytes.len() as u64 <= MAX_SIGNATURE);
            let read = Signature::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read, &made);
            prop_assert!(read.verify(&manifest).is_ok());
        }

        #[test]
        fn a_changed_byte_never_verifies_as_something_else(
            position in any::<prop::sample::Index>(),
            change in 1..=255u8,
        ) {
            let mut bytes = signature().to_bytes();
            let position = position.index(bytes.len());
            bytes[position] ^= change;
            if let Ok(read) = Signature::from_bytes(&bytes) {
                prop_assert!(read == signature() || read.verify(b"manifest").is_err());
            }
        }

        #[test]
        fn random_bytes_are_not_a_signature(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Signature::from_bytes(&bytes).is_err());
        }
    }
}
