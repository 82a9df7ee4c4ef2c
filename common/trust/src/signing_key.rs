//! The key that signs.

use crate::public_key::{PublicKey, SIGNATURE_BYTES};
use crate::purpose::Purpose;
use ed25519_dalek::Signer;
use std::fmt;

/// A key that signs. Its bytes are erased when it is dropped, and not shown by `Debug`.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    pub(crate) fn inner(&self) -> &ed25519_dalek::SigningKey {
        &self.0
    }

    /// The key that verifies this key's signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }

    /// Signs `content` for `purpose`. The same content has the same signature.
    pub fn sign(&self, purpose: Purpose, content: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&purpose.signed_bytes(content)).to_bytes()
    }
}

/// Shows the public key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey of {}", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_key() {
        let key = SigningKey::from_seed([0xab; 32]);
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.public().to_string()));
        assert!(
            !shown.contains("171") && !shown.to_lowercase().contains("abab"),
            "{shown}"
        );
    }

    #[test]
    fn the_public_key_is_that_of_the_standard() {
        // RFC 8032, 7.1, test 1.
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(SigningKey::from_seed(seed).public().to_bytes(), public);
    }

    fn hex(digits: &str) -> [u8; 32] {
        let byte = |i: usize| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }
}
