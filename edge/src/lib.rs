//! The boat: camera frames become sightings of whales, and sightings reach shore.
//!
//! A boat is a recorder that also recognises. The way of a frame:
//!
//! 1. [`capture`], [`video`] and [`source`] provide frames, the latest of each camera;
//! 2. [`perception`]: [`pixels`] decodes them, [`gate`] and [`detect`] find flukes in those without a
//!    sidecar, [`detection_filter`] drops those in ignored areas, [`track`] follows them, [`encounter`] keeps each one's best crops;
//! 3. [`recorder`]: each encounter that ends becomes a [`recording`] with its time ([`time`]), position
//!    ([`position`]) and, by the camera's [`mount`], the whale's bearing and range, and is committed to the [`outbox`];
//! 4. [`clip`]: the camera's own frames around encounters become videos;
//! 5. [`identification`] names the individual, or recognises one that resurfaced: a revision of what is
//!    recorded;
//! 6. [`uplink`] sends it to shore.
//!
//! [`pipeline`] runs these stages, a [`stage`] says how each one is.
//!
//! Around it, from the bottom up: [`app_state`] outlives a reload, [`models`] opens a bundle,
//! if [`bundle_trust`] accepts it, [`session`] runs the parts with one configuration, `page` serves
//! health and previews to those who have the [`page_token`],
//! [`service`] runs one session after the other. [`check`] and [`selftest`] verify beforehand
//! that it will work.

pub mod app_state;
pub mod backoff;
pub mod bounded_note;
pub mod buffers;
pub mod bundle_mailbox;
pub mod bundle_trust;
pub mod bundle_update;
pub mod cancellation;
pub mod capture;
pub mod check;
pub mod clip;
pub mod config;
pub mod crop_jpeg;
pub mod detect;
pub mod detection_filter;
pub mod detector_meter;
pub mod encoded_frame;
pub mod encounter;
pub mod failed_starts;
pub mod frame;
pub mod gate;
pub mod health;
pub mod heartbeat;
pub mod identification;
pub mod ignored_areas;
pub mod last_working;
pub mod levels;
pub mod link_budget;
mod listed_sighting;
pub mod logging;
pub mod machine;
pub mod matroska;
mod metrics;
mod mirror;
pub mod models;
pub mod mount;
pub mod outbox;
mod page;
pub mod page_token;
pub mod perception;
pub mod picture;
pub mod pipeline;
pub mod pixel_format;
pub mod pixels;
pub mod position;
pub mod preview;
pub mod quality;
pub mod received_bundles;
pub mod received_settings;
pub mod recorder;
pub mod recording;
pub mod reprocess;
pub mod selftest;
pub mod service;
pub mod session;
pub mod sliding_window;
pub mod source;
pub mod stage;
mod status;
pub mod systemd;
pub mod time;
pub mod track;
pub mod uplink;
pub mod video;

#[cfg(test)]
mod sample;
