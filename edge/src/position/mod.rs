//! GNSS position and time.
//!
//! A [`GnssClient`] reads a receiver over a serial line or a network ([`transport`]), in NMEA 0183
//! ([`sentence`]) or gpsd's JSON ([`gpsd`]). A [`FixAssembler`] combines its sentences into fixes,
//! [`PositionHistory`] keeps those of the last minutes for sightings, and the time goes to the
//! [`crate::time::UtcClock`].

mod fix_assembler;
mod gnss_client;
pub mod gpsd;
mod history;
mod lines;
mod nav_update;
pub mod sentence;
pub mod transport;

pub use fix_assembler::FixAssembler;
pub use gnss_client::{GnssClient, Protocol};
pub use history::{Fix, PositionHealth, PositionHistory};
pub use lines::Lines;
pub use nav_update::{NavUpdate, ReportedPosition};
