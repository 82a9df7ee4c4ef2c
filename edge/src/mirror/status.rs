//! The status in JSON.

use crate::health::Health;
use crate::machine::{Severity, hottest};
use crate::status;
use flukewatch_common::link_class::LinkClass;
use serde::Serialize;

/// The numbers of a boat that a display on board shows. Names stay; later versions may add some.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MirrorStatus<'a> {
    boat: &'a str,
    version: &'static str,
    /// `ok`, `warning` or `critical`.
    severity: Severity,
    /// What needs attention, in words; empty where nothing does.
    problems: String,
    written_at: &'a str,
    frames: u64,
    /// Recorded encounters since the program started.
    sightings: u64,
    /// Recorded encounters that are still to be identified.
    unidentified: u64,
    pending_sightings: u64,
    pending_pictures: u64,
    oldest_pending_seconds: Option<u64>,
    connected: bool,
    link: LinkClass,
    bundle: &'a str,
    latitude: Option<f64>,
    longitude: Option<f64>,
    temperature_celsius: Option<f64>,
    disk_free_bytes: Option<u64>,
}

impl<'a> MirrorStatus<'a> {
    pub(super) fn of(health: &'a Health) -> Self {
        let items = status::items(health);
        let problems: Vec<String> = items
            .iter()
            .filter(|item| item.severity > Severity::Ok)
            .map(|item| format!("{}: {}", item.subject, item.message))
            .collect();
        Self {
            boat: &health.boat,
            version: env!("CARGO_PKG_VERSION"),
            severity: status::worst(&items),
            problems: problems.join("; "),
            written_at: &health.written_at,
            frames: health.frames,
            sightings: health.accepted,
            unidentified: health.unidentified,
            pending_sightings: health.pending_sightings,
            pending_pictures: health.pending_pictures,
            oldest_pending_seconds: health.outbox.oldest_pending_seconds,
            connected: health.broker == crate::health::Broker::Connected,
            link: health.link.class,
            bundle: &health.bundle,
            latitude: health.position.latitude,
            longitude: health.position.longitude,
            temperature_celsius: hottest(&health.machine.temperatures).map(|t| t.celsius),
            disk_free_bytes: health.machine.disk.as_ref().map(|d| d.free_bytes),
        }
    }
}
