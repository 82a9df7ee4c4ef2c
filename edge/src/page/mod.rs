//! The boat's page on its own network: live view, last sightings, health, metrics. It reads and changes nothing.
//!
//! | address | what |
//! |---|---|
//! | `/` | the page, for people |
//! | `/condition.json` | what the page says of the boat: level and words of each part |
//! | `/sightings.json` | the last sightings, newest first |
//! | `/sightings/{id}.jpg` | the picture of one, while it is on board |
//! | `/cameras/{number}/view.jpg` | what a camera sees, made smaller, with boxes |
//! | `/cameras/{number}/snapshot.jpg` | the same in full and without boxes, to keep |
//! | `/health.json` | the health document |
//! | `/healthz` | 200 where all is well enough, 503 and why otherwise |
//! | `/metrics` | for Prometheus |
//!
//! It is served by a thread of its own. What strangers can make it do is bounded: connections, the length of a request and the time
//! for it, and how often a camera's frame is encoded, however many look.

mod look;
mod routes;
mod serve;

pub use serve::Page;
