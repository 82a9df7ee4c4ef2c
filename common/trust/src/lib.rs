//! Keys and signatures: who sent a message, and who published a bundle.
//!
//! Signatures are Ed25519 ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)) over the content and what
//! it is used for ([`Purpose`]), so that a signature for one purpose is not valid for another. Keys are
//! in files that OpenSSL reads: a boat's key is also the key of its TLS certificate.
//!
//! ```
//! use flukewatch_trust::{Purpose, SigningKey};
//!
//! // The seed comes from the operating system's random numbers.
//! let key = SigningKey::from_seed([7; 32]);
//! let signature = key.sign(Purpose::Bundle, b"content");
//! assert!(key.public().verify(Purpose::Bundle, b"content", &signature).is_ok());
//! assert!(key.public().verify(Purpose::BoatMessage, b"content", &signature).is_err());
//! ```

mod key_file;
mod public_key;
mod purpose;
mod sealed;
mod signing_key;

pub use key_file::KeyFileError;
pub use public_key::{BadPublicKey, BadSignature, PublicKey, SIGNATURE_BYTES};
pub use purpose::Purpose;
pub use sealed::{OpenError, SEAL_BYTES, open, seal};
pub use signing_key::SigningKey;
