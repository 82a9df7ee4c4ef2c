//! The mirror: status and sightings as JSON on a broker on board, for displays, loggers and Home Assistant. It has nothing to do with the
//! delivery to shore, and carries nothing to the boat.
//!
//! | topic | content |
//! |---|---|
//! | `flukewatch/<boat>/available` | `online`, or, as a last will, `offline`; retained |
//! | `flukewatch/<boat>/status` | a [`MirrorStatus`](status::MirrorStatus); retained |
//! | `flukewatch/<boat>/sighting` | each new sighting, and again when its verdict changes |
//! | `flukewatch/<boat>/last_sighting` | the newest one; retained |
//! | `homeassistant/device/flukewatch_<boat>/config` | Home Assistant's discovery, where it is enabled; retained |

mod discovery;
mod status;
mod task;

pub(crate) use task::Mirror;

#[cfg(test)]
mod tests;
