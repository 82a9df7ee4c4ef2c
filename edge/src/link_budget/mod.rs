//! What the boat's link to shore may carry.
//!
//! A [`LinkSelector`] finds out which class of link is in use; each class has a [`LinkProfile`]. The
//! [`LinkBudget`] counts the bytes of the last hour and says what may be sent now; [`PacketSize`] says how many
//! bytes a message takes. A [`LinkWatch`] keeps both up to date.

mod budget;
mod estimate;
mod hour;
mod packet_size;
mod priority;
mod profile;
mod route_table;
mod schedule;
mod selector;
mod spent_file;
mod watch;

pub use budget::{HourlyLimits, LinkBudget};
pub use estimate::{CarriedBytes, LinkHealth, PendingKind, pending_kinds};
pub use packet_size::PacketSize;
pub use priority::Priority;
pub use profile::LinkProfile;
pub use schedule::{InvalidTimeOfDay, TimeOfDay, TimeSpan};
pub use selector::{LinkSelector, LinkSettings, SelectedBy, Selection};
pub use watch::LinkWatch;
