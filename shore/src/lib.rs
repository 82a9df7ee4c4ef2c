//! The station on shore: it collects what boats see.
//!
//! Boats publish sightings and pictures to an MQTT broker ([`broker`], or one that runs already); [`ingest`] puts them into the
//! [`store`] and sends a receipt; [`pages`] show them. [`serve`] puts the parts together.

pub mod broker;
pub mod health;
pub mod ingest;
pub mod pages;
#[cfg(test)]
mod sample;
pub mod serve;
pub mod store;
