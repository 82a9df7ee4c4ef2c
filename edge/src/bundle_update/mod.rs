//! Bundles over the air: receives what the station offers, tests it, and switches to it on trial.
//!
//! The uploader and the updater exchange messages through a [`Mailbox`](crate::bundle_mailbox::Mailbox), so that neither waits for the
//! other: what does not fit into it is requested again. The [`Updater`] runs in a thread of its own for as
//! long as the program: it receives the bundle piece by piece, verifies it, runs its self-test and installs
//! it, which requests a reload. The service then observes the first minutes with it ([`UpdateTrial`]), and
//! returns to the one before where it does not work.

mod receiver;
mod requests;
mod roll_back;
mod trial;
mod updater;

pub use roll_back::roll_back;
pub use trial::{Observed, TrialResult, UpdateTrial};
pub use updater::Updater;
