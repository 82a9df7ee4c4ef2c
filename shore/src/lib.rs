//! The station on shore: it collects what boats see.
//!
//! Boats publish sightings and pictures to an MQTT broker: [`mosquitto`] with certificates of the
//! station's [`authority`], an external one, or, on one computer, the embedded [`broker`];
//! [`ingest`] validates them, puts them into the [`store`] and acknowledges them; [`api`] and the
//! pages show them. In the other direction, it offers [`bundles`] to boats, and sends them
//! [`boat_settings`]. [`station`] puts the parts
//! together.

pub mod api;
pub mod authority;
mod boat_files;
pub mod boat_settings;
pub mod broker;
pub mod bundles;
mod catalogue_photos;
pub mod health;
mod http;
pub mod ingest;
pub mod mosquitto;
mod pages;
pub mod picture_check;
pub mod random;
mod request;
pub mod station;
pub mod store;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod sample_bundle;
