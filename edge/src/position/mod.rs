//! GNSS position and time.
//!
//! A [`GnssClient`] connects to a receiver over a serial line or a network ([`transport`]), or
//! listens to its datagrams ([`udp`]). A [`Reader`] finds its messages in the bytes and parses them:
//! NMEA 0183, the JSON of gpsd ([`gpsd`]) or that of Signal K ([`signalk`]). A [`FixAssembler`] combines them into fixes,
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
pub mod signalk;
mod sources;
pub mod transport;
pub mod udp;

pub use fix_assembler::FixAssembler;
pub use gnss_client::GnssClient;
pub use history::{Fix, PositionHealth, PositionHistory};
pub use reader::{Contents, Protocol, Reader};
pub use sources::SourceHealth;
