//! Two kinds of time, and how one becomes the other.
//!
//! What happens on board (a frame, a fix) bears a [`Moment`] of the machine's steady clock, which runs on whatever is done to the
//! date. Only a report needs a date, and the [`Timekeeper`] gives it then, by the best clock that is known by then: a boat that
//! started in 1970 and found its satellites a minute later reports what it saw before, too, with the right time.

mod keeper;
mod steady;

pub use keeper::{Dated, TimeStatus, Timekeeper};
pub use steady::{MachineSteadyClock, ManualSteadyClock, Moment, SteadyClock, Timing};
