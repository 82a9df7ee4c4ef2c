//! A small MQTT 3.1.1 broker for one computer: the demo, tests, and a boat that runs beside its station.
//!
//! It supports what boats and shore use: QoS 0 and 1, clean sessions, wildcards, keep-alive, retained
//! messages, last wills. It stores nothing on disk: retained messages are in memory only, sessions are not
//! persistent, and QoS 2 closes the connection. Nothing is lost by that, since a boat deletes a message
//! only when shore has acknowledged it. There is neither authentication nor encryption, so that it listens
//! on loopback addresses only; boats in a network use [`crate::mosquitto`] or an external broker.
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
