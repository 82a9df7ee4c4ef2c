//! Identification: from recordings to verdicts, each of which is a revision of its recorded sighting.
//!
//! A worker takes the oldest recording from the outbox, and nothing else: what it identifies is on
//! disk before, and its verdict after. A [`Supervisor`] restarts it after a panic, and replaces it when it
//! hangs. An encounter that was tried [`MAX_ATTEMPTS`] times stays unidentified, with the reason.

mod identifier;
mod identity;
mod recent_encounters;
mod supervisor;
mod surfacing;
mod wake;
mod whale_identifier;
mod worker;

pub use identifier::{CropImage, EmbeddedCrops, EncounterMatch, Identifier, IdentifyError};
pub use identity::Identity;
pub use recent_encounters::RecentEncounters;
pub use supervisor::{OpenIdentify, Supervisor, SupervisorParts};
pub use wake::Wake;
pub use whale_identifier::{Identify, WhaleIdentifier};
pub use worker::MAX_ATTEMPTS;
