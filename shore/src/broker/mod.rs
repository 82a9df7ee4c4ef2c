//! A small MQTT 3.1.1 broker, so that a station on shore is one program.
//!
//! It supports what boats and shore use (QoS 0 and 1, clean sessions, wildcards, keep-alive, retained
//! messages, last wills) and bounds everything that a client can ask for. It stores nothing on disk:
//! retained messages are in memory only, sessions are not persistent, and QoS 2 closes the
//! connection. Nothing is lost by that, since a boat deletes a message only when shore has
//! acknowledged it. There is no authentication and no encryption: bind it to a loopback or a trusted
//! network's address, or use an external broker.
//!
//! Packets are read and written by `rumqttc`'s codec. Each connection is a task, so that a failing
//! one does not affect the others.

mod connection;
mod delivery;
mod filter;
mod limits;
mod retained;
mod server;
mod sessions;

pub use connection::OversizedPacket;
pub use limits::Limits;
pub use server::{Broker, BrokerError};
