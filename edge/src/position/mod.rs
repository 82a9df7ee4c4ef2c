//! GNSS position and time.
//!
//! A [`GnssClient`] connects to a receiver over a serial line or a network ([`transport`]). A
//! [`Reader`] finds its messages in the bytes and parses them: NMEA 0183 or gpsd's
//! JSON ([`gpsd`]). A [`FixAssembler`] combines them into fixes,
//! [`PositionHistory`] keeps those of the last minutes for sightings, and the time goes to the
//! [`crate::time::UtcClock`].

mod fields;
mod fix_assembler;
mod framing;
mod gnss_client;
pub mod gpsd;
mod history;
mod lines;
mod nav_update;
mod reader;
mod sentence;
mod sources;
pub mod transport;

pub use fix_assembler::FixAssembler;
pub use gnss_client::GnssClient;
pub use history::{Fix, PositionHealth, PositionHistory};
pub use reader::{Contents, Protocol, Reader};
pub use sources::SourceHealth;
