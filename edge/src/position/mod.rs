//! Where the boat is, and what time it really is.
//!
//! A receiver is heard over a serial line or a network ([`link`]), in NMEA 0183 ([`sentence`]) or gpsd's JSON ([`gpsd`]). The
//! [`Navigator`] makes fixes of what it says, [`Positions`] keep the last minutes of them for sightings, and the time goes to
//! the [`crate::time::Timekeeper`]. [`Receiver`] holds the connection.

pub mod gpsd;
mod heard;
mod lines;
pub mod link;
mod navigator;
mod positions;
mod receiver;
pub mod sentence;

pub use heard::{Heard, Place};
pub use lines::Lines;
pub use navigator::Navigator;
pub use positions::{Fix, PositionHealth, Positions};
pub use receiver::{Protocol, Receiver};
