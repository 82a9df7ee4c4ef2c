//! Messages with a signature.

use crate::public_key::{BadSignature, PublicKey, SIGNATURE_BYTES};
use crate::purpose::Purpose;
use crate::signing_key::SigningKey;

const MAGIC: [u8; 4] = *b"FLKS";

/// How many bytes longer than the message a sealed message is.
pub const SEAL_BYTES: usize = MAGIC.len() + SIGNATURE_BYTES;

/// Why a sealed message cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The message has no signature.
    #[error("the message is not signed")]
    Unsigned,
    /// The signature is that of another message, purpose or key.
    #[error("the message's signature is not valid for its sender's key")]
    Invalid,
}

/// Signs `message`: `FLKS`, the signature of 64 bytes, the message.
pub fn seal(key: &SigningKey, purpose: Purpose, message: &[u8]) -> Vec<u8> {
    let signature = key.sign(purpose, message);
    [&MAGIC[..], &signature, message].concat()
}

/// The message in `sealed`, if the owner of `key` signed it for `purpose`.
///
/// # Errors
/// When the signature is missing or invalid.
pub fn open<'a>(
    key: &PublicKey,
    purpose: Purpose,
    sealed: &'a [u8],
) -> Result<&'a [u8], OpenError> {
    let signed = sealed.strip_prefix(&MAGIC).ok_or(OpenError::Unsigned)?;
    let (signature, message) = signed
        .split_first_chunk::<SIGNATURE_BYTES>()
        .ok_or(OpenError::Invalid)?;
    key.verify(purpose, message, signature)
        .map_err(|BadSignature| OpenError::Invalid)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SigningKey {
        SigningKey::from_seed([3; 32])
    }

    proptest! {
        #[test]
        fn a_sealed_message_opens(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealed = seal(&key(), Purpose::BoatMessage, &message);
            prop_assert_eq!(sealed.len(), message.len() + SEAL_BYTES);
            let public = key().public();
            prop_assert_eq!(open(&public, Purpose::BoatMessage, &sealed), Ok(&message[..]));
        }

        #[test]
        fn a_changed_one_does_not(
            message in prop::collection::vec(any::<u8>(), 1..100),
            position in any::<prop::sample::Index>(),
            change in 1..=255u8,
        ) {
            let mut sealed = seal(&key(), Purpose::BoatMessage, &message);
            let position = position.index(sealed.len());
            sealed[position] ^= change;
            prop_assert!(open(&key().public(), Purpose::BoatMessage, &sealed).is_err());
        }

        #[test]
        fn random_bytes_do_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&key().public(), Purpose::BoatMessage, &bytes).is_err());
        }
    }

    #[test]
    fn a_message_to_shore_is_not_one_from_shore() {
        let sealed = seal(&key(), Purpose::BoatMessage, b"message");
        let opened = open(&key().public(), Purpose::StationMessage, &sealed);
        assert_eq!(opened, Err(OpenError::Invalid));
        assert_eq!(
            open(&key().public(), Purpose::BoatMessage, b"FLKW..."),
            Err(OpenError::Unsigned)
        );
    }
}
