//! The boat: camera frames become sightings of whales, and sightings reach shore.
//!
//! The path of a frame: [`capture`], [`video`] and [`source`] provide frames, [`pixels`] decodes them, [`gate`]
//! and [`detect`] find flukes in those without a sidecar, [`track`] follows them, [`encounter`] keeps each
//! one's best crops, [`identify`] names the individual, [`recent_encounters`] recognises one that
//! resurfaced, [`report`] makes the sighting with its time ([`time`]) and position ([`position`]).
//! [`pipeline`] is the loop around it.
//!
//! From there on: [`outbox`] stores sightings durably, [`uplink`] sends them to shore.
//!
//! Around it, from the bottom up: [`app_state`] outlives a reload, [`models`] opens a bundle,
//! [`session`] runs the parts with one configuration, `page` serves health and previews,
//! [`service`] runs one session after the other. [`check`] and [`selftest`] verify beforehand
//! that it will work.

pub mod app_state;
pub mod backoff;
pub mod buffers;
pub mod cancellation;
pub mod capture;
pub mod check;
pub mod config;
pub mod crop_jpeg;
pub mod detect;
pub mod encounter;
pub mod frame;
pub mod gate;
pub mod health;
pub mod heartbeat;
pub mod identify;
pub mod logging;
pub mod machine;
mod metrics;
pub mod models;
pub mod outbox;
mod page;
pub mod pipeline;
pub mod pixel_format;
pub mod pixels;
pub mod position;
pub mod preview;
pub mod quality;
pub mod recent_encounters;
pub mod report;
pub mod selftest;
pub mod service;
pub mod session;
pub mod source;
mod status;
pub mod systemd;
pub mod time;
pub mod track;
pub mod uplink;
pub mod video;

#[cfg(test)]
mod sample;
