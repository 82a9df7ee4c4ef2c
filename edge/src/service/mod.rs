//! What keeps a boat at work that nobody looks after: the service manager, the watchdog, and a new configuration while it works.
//!
//! [`operate`] runs the boat, one configuration after the other. [`Systemd`] tells the service manager how it goes, and [`Watchdog`]
//! decides whether the boat still works as it should.

mod aboard;
mod operate;
mod pulse;
mod systemd;
mod watchdog;

pub use aboard::{Aboard, Bulletin};
pub use operate::{Orders, Reload, operate};
pub use pulse::Pulse;
pub use systemd::Systemd;
pub use watchdog::{Proof, Signs, Verdict, WatchSign, Watchdog};
