//! The token that the boat's page asks for where other machines can reach it.
//!
//! It is in a file in the outbox's folder, made at the first use. A reader opens the address that
//! `flukewatch-edge page-token` prints, also as a QR code, and the browser remembers it.

mod error;
mod file;
mod link;
mod token;

pub use error::TokenError;
pub use file::TokenFile;
pub use link::{LinkOptions, PageLink, page_link};
pub use token::PageToken;
