//! The station's authority: a small certificate authority (CA) that makes the certificates of boats, of
//! the station and of its broker.
//!
//! A boat's Ed25519 key identifies it in TLS, by a certificate whose common name is the boat's name, and
//! signs its messages. Everything is in the folder `authority` of the station's data folder:
//!
//! | file | content |
//! |---|---|
//! | `ca.key`, `ca.pem` | key and certificate of the authority |
//! | `station.key`, `station.pem` | the station's own identity; its name is [`STATION_NAME`] |
//! | `server.key`, `server.pem` | the broker's certificate |
//! | `boats/NAME/` | the boat's current certificate and public key; its private key is aboard only |
//! | `certificates.json` | all certificates of boats: what is valid, what is revoked |
//! | `revoked.pem` | the revocation list for the broker, made from `certificates.json` |

mod create;
mod error;
mod files;
mod identity_folder;
mod issuer;
mod registry;
mod serial;
mod server_name;
mod service;
mod validity;

pub use error::AuthorityError;
pub use files::TlsFiles;
pub use identity_folder::{IdentityFolder, ProvisionRequest};
pub use registry::BoatCertificate;
pub use serial::Serial;
pub use server_name::{BadServerName, ServerName};
pub use service::{Authority, Revocation};
pub use validity::{BOAT_DAYS, STATION_NAME};

#[cfg(test)]
mod tests;
