//! A boat at work with one configuration: perception, uploader and monitor, from start to end.
//!
//! [`Session::start`] wires the parts together, [`Session::wait`] runs them until the source ends
//! or the session is cancelled.

mod assembly;
mod clock_run;
mod error;
mod inputs;
mod monitor;
mod random;
mod salvaging;
#[expect(clippy::module_inception, reason = "the folder's one public type")]
mod session;
mod time_correction;
mod uplink;
mod watchdog;

pub use assembly::PICTURE_PADDING;
pub(crate) use assembly::perception_camera;
pub use error::SessionError;
pub(crate) use random::{random, random_id};
pub(crate) use session::open_outbox;
pub use session::{Finished, RunOptions, Session, run, save_unsaved};

#[cfg(test)]
mod tests;
