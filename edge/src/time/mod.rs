//! Monotonic timestamps, and their conversion to UTC.
//!
//! Frames and fixes on board have a [`MonotonicTimestamp`], which is unaffected when the date is set.
//! Only a report needs a date. [`UtcClock`] provides it at that time by the best source known by then:
//! a boat that started in 1970 and found its satellites a minute later also reports what it saw before
//! with the right time.

mod date_window;
mod monotonic;
mod timing;
mod utc_clock;

pub use date_window::DateWindow;
pub use monotonic::{
    ManualMonotonicClock, MonotonicClock, MonotonicTimestamp, SystemMonotonicClock,
};
pub use timing::Timing;
pub use utc_clock::{TimeStatus, UtcClock, UtcTime};
