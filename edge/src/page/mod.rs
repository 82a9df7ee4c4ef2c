//! The boat's page on its own network: live preview, last sightings, health, metrics. It is
//! read-only.
//!
//! | path | content |
//! |---|---|
//! | `/` | the page |
//! | `/api/v1/status` | the status of each part: severity and message |
//! | `/api/v1/sightings` | the last sightings, newest first |
//! | `/api/v1/sightings/{id}.jpg` | a sighting's picture, while it is on board |
//! | `/api/v1/cameras/{number}/preview.jpg` | a camera's current frame, downscaled, with boxes |
//! | `/api/v1/cameras/{number}/snapshot.jpg` | the same at full size and without boxes |
//! | `/api/v1/health` | the health document |
//! | `/healthz` | 200, or 503 with the critical items; without a token only the code |
//! | `/metrics` | Prometheus |
//!
//! It runs on its own thread. What clients can cause is bounded: connections, the size and duration
//! of a request, and how often a frame is encoded, however many clients there are. Where other machines
//! can reach it, it asks for a token.

mod access;
mod preview;
mod routes;
mod serve;

pub(crate) use serve::Page;

#[cfg(test)]
mod tests;
