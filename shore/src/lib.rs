//! The station on shore: it collects what boats see.
//!
//! Boats publish sightings and pictures to an MQTT broker ([`broker`], or an external one);
//! [`ingest`] validates them, puts them into the [`store`] and acknowledges them; [`api`] and the
//! pages show them. [`station`] puts the parts together.

pub mod api;
pub mod broker;
mod catalogue_photos;
pub mod health;
mod http;
pub mod ingest;
mod pages;
mod request;
pub mod station;
pub mod store;

#[cfg(test)]
mod sample;
