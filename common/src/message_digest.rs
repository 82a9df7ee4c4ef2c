//! Identifies a message by its bytes, also one that cannot be decoded.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The first 16 bytes of the SHA-256 of an encoded message, envelope included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageDigest([u8; 16]);

impl MessageDigest {
    /// The digest of `message`.
    pub fn of(message: &[u8]) -> Self {
        let sha256: [u8; 32] = Sha256::digest(message).into();
        let (first, _) = sha256.split_at(16);
        Self(first.try_into().expect("16 of 32 bytes"))
    }
}

impl fmt::Display for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::sha256::hex(&self.0))
    }
}

impl fmt::Debug for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_half_of_the_sha256() {
        // FIPS 180-4, example B.1.
        assert_eq!(
            MessageDigest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223"
        );
    }
}
