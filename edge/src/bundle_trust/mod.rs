//! Which bundles this boat uses: those that a trusted key signed, none older than what it used before.
//!
//! The bundle that worked last is noted in the outbox's folder. It stays in use whatever the date is: a
//! small computer without a clock battery may start in any year, and a boat at sea must not stop watching
//! because a signature expires. A new bundle needs a signature that is valid today, and a known date.

mod accept;
mod accepted_file;
mod policy;
mod verified;

pub use accept::{AcceptError, TrustReport, accept, report};
pub use accepted_file::AcceptedFile;
pub use policy::bundle_trust;
pub use verified::VerifiedSignature;
