//! The boat: frames of a camera become sightings of whales, and sightings reach shore.
//!
//! [`capture`] and [`source`] give frames, [`pixels`] decodes them, [`detect`] finds flukes where no sidecar tells them, [`track`] follows them, [`encounter`] keeps each one's best crops, [`identify`] names the whale, [`returns`] knows one that came back, [`report`] makes the
//! sighting with its date ([`time`]) and place ([`position`]), [`outbox`] keeps it safe and [`uplink`] carries it to shore. [`run`] puts them together; [`check`] tells beforehand
//! whether it will work, [`selftest`] whether the engine's numbers can be trusted. [`service`] keeps it at work unattended, and [`page`] shows it on the boat's own network.

pub mod backoff;
pub mod capture;
pub mod check;
pub mod condition;
pub mod config;
pub mod detect;
pub mod encounter;
pub mod frame;
pub mod gate;
pub mod health;
pub mod identify;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod outbox;
pub mod page;
pub mod picture;
pub mod pixels;
pub mod position;
pub mod quality;
pub mod report;
pub mod returns;
pub mod run;
pub mod selftest;
pub mod service;
pub mod source;
pub mod stop;
pub mod time;
pub mod track;
pub mod uplink;
pub mod viewfinder;
pub mod watch;

#[cfg(test)]
mod sample;
