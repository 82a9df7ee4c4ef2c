//! Settings that a person on shore has sent, and which of them the boat uses.
//!
//! The note `settings.json` in the outbox's folder says which values are used in place of the configuration's, and
//! which to return to. New ones are used from the next session on, on trial as a received bundle is. Where the
//! configuration forbids settings from shore, none is used, whatever was accepted before.

mod note;
mod overlay;
#[expect(
    clippy::module_inception,
    reason = "the folder is the concept, the file its type"
)]
mod received_settings;
mod take;

pub use overlay::overlay;
pub use received_settings::ReceivedSettings;
pub use take::take;
