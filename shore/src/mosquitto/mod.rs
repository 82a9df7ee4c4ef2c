//! A mosquitto broker with TLS as a supervised child process.
//!
//! The station writes its configuration, starts it, passes its log on, and starts it again when it exits
//! or a certificate is revoked. Boats identify themselves with certificates of the station's
//! [authority](crate::authority); the name in the certificate decides which topics a boat can use.

mod child;
mod config;
mod error;
mod leftover;
mod log;
mod program;
mod supervisor;

pub use error::MosquittoError;
pub use supervisor::{Mosquitto, MosquittoSettings};
