//! The key that verifies signatures.

use crate::purpose::Purpose;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// How a key begins as text.
const TEXT_PREFIX: &str = "ed25519:";

/// A key that verifies signatures. As text, in configurations, `ed25519:` and 43 characters in base64.
///
/// ```
/// use flukewatch_trust::{PublicKey, SigningKey};
///
/// let key = SigningKey::from_seed([7; 32]).public();
/// assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
/// assert!("ed25519:short".parse::<PublicKey>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

/// A text or file is not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key: expected '{TEXT_PREFIX}' and 43 characters in base64")]
pub struct BadPublicKey;

/// A signature does not match content, purpose and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

impl PublicKey {
    pub(crate) fn new(key: VerifyingKey) -> Self {
        Self(key)
    }

    pub(crate) fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The key of 32 bytes, as certificates contain it.
    ///
    /// # Errors
    /// When the bytes are not a point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadPublicKey> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| BadPublicKey)?;
        // Anybody can make signatures that are valid for a key of small order.
        if key.is_weak() {
            return Err(BadPublicKey);
        }
        Ok(Self(key))
    }

    /// The 32 bytes of the key.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Verifies that the owner of this key signed `content` for `purpose`.
    ///
    /// # Errors
    /// When the signature is not valid.
    pub fn verify(
        &self,
        purpose: Purpose,
        content: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        self.0
            .verify_strict(
                &purpose.signed_bytes(content),
                &Signature::from_bytes(signature),
            )
            .map_err(|_| BadSignature)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{TEXT_PREFIX}{}",
            STANDARD_NO_PAD.encode(self.to_bytes())
        )
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadPublicKey;

    fn from_str(text: &str) -> Result<Self, BadPublicKey> {
        let encoded = text.trim().strip_prefix(TEXT_PREFIX).ok_or(BadPublicKey)?;
        let bytes = STANDARD_NO_PAD.decode(encoded).map_err(|_| BadPublicKey)?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| BadPublicKey)?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadPublicKey;

    fn try_from(text: String) -> Result<Self, BadPublicKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing_key::SigningKey;

    #[test]
    fn a_signature_of_a_changed_content_or_another_key_is_invalid() {
        let key = SigningKey::from_seed([1; 32]);
        let signature = key.sign(Purpose::Bundle, b"content");
        let verify = |key: &SigningKey, purpose, content: &[u8], signature: &[u8; 64]| {
            key.public().verify(purpose, content, signature)
        };
        assert!(verify(&key, Purpose::Bundle, b"content", &signature).is_ok());
        assert!(verify(&key, Purpose::Bundle, b"contents", &signature).is_err());
        assert!(verify(&key, Purpose::StationMessage, b"content", &signature).is_err());
        let other = SigningKey::from_seed([2; 32]);
        assert!(verify(&other, Purpose::Bundle, b"content", &signature).is_err());
        for bit in 0..512 {
            let mut damaged = signature;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&key, Purpose::Bundle, b"content", &damaged).is_err());
        }
    }

    #[test]
    fn a_key_of_small_order_is_rejected() {
        // The neutral element: y = 1.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(PublicKey::from_bytes(&neutral), Err(BadPublicKey));
    }

    #[test]
    fn text_that_is_not_a_key_is_rejected() {
        let key = SigningKey::from_seed([1; 32]).public().to_string();
        for bad in [
            "",
            "ed25519:",
            &key[..key.len() - 1],
            &format!("{key}A"),
            &key[8..],
        ] {
            assert_eq!(bad.parse::<PublicKey>(), Err(BadPublicKey), "{bad}");
        }
        assert!(format!(" {key}\n").parse::<PublicKey>().is_ok());
    }
}
