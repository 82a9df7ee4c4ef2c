//! `GET /api/v1/boats`

use super::bundle_transfers::BundleTransferJson;
use super::error::ApiResult;
use super::settings::SettingsJson;
use crate::boat_settings::SentSettings;
use crate::request::AppState;
use crate::store::{BoatStatus, Gap, LastReport};
use axum::Json;
use axum::extract::State;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::link_report::LinkReport;
use serde::Serialize;

/// A range of sequence numbers, both ends inclusive.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct GapJson {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// A boat, its last contact, its status and what is missing from it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BoatJson {
    /// The boat's unique name.
    pub boat: String,
    /// When its first message was stored.
    pub first_seen: String,
    /// When its last message was received.
    pub last_seen: String,
    /// Number of stored sightings.
    pub sightings: u64,
    /// Sightings of which only a brief has been received.
    pub briefs: u64,
    /// The highest sequence number.
    pub last_sequence: u64,
    /// Sequence numbers below it that have not been received.
    pub missing: u64,
    /// The same as ranges, at most 100.
    pub gaps: Vec<GapJson>,
    /// Outboxes that the boat has numbered its sightings in.
    pub outboxes: u64,
    /// Sightings whose sequence number another sighting has too.
    pub duplicate_sequences: u64,
    /// Those among them whose number was used twice in one outbox.
    pub duplicates_in_outbox: u64,
    /// The numbers that several sightings have, as ranges, at most 100.
    pub repeated: Vec<GapJson>,
    /// Sightings whose picture has not been received.
    pub pictures_missing: u64,
    /// Pictures whose sighting has not been received.
    pub pictures_without_sighting: u64,
    /// The last status report; null from boats of an older version.
    pub status: Option<StatusJson>,
    /// The bundles that it was offered, newest first, at most 10.
    pub bundle_transfers: Vec<BundleTransferJson>,
    /// The settings that it was sent last, and what it has reported of them; null where it was sent none.
    pub settings: Option<SettingsJson>,
}

/// The last status report of a boat.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StatusJson {
    /// `online`, `timed_out` (no report for three minutes, or three of the intervals in `link`) or `offline` (its connection ended).
    pub contact: &'static str,
    /// When the connection ended; null if it did not.
    pub offline_since: Option<String>,
    /// When the report was received.
    pub received: String,
    /// When it was made, by the boat's clock.
    pub at: String,
    /// `ok`, `warning` or `critical`.
    pub severity: &'static str,
    /// The problems in words, the worst first; empty if there are none.
    pub problems: String,
    /// The version of the boat's program.
    pub version: String,
    /// The first characters of the id of the boat's bundle.
    pub bundle: String,
    /// Degrees north (WGS 84); null if unknown.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Number of cameras.
    pub cameras: u16,
    /// Number of cameras whose frames are searched for flukes.
    pub cameras_searched: u16,
    /// Messages that shore has not acknowledged.
    pub pending_messages: u64,
    /// The age of the oldest of them; null if there is none.
    pub oldest_pending_seconds: Option<u64>,
    /// The link's class and budget, and how long pending messages will take; null in harbour.
    pub link: Option<LinkReport>,
}

impl StatusJson {
    fn new(report: &LastReport, now: Timestamp) -> Self {
        let condition = &report.condition;
        Self {
            contact: report.contact(now).as_str(),
            offline_since: report.offline_since.map(|at| at.to_string()),
            received: report.received.to_string(),
            at: condition.at.to_string(),
            severity: condition.severity.as_str(),
            problems: condition.problems.clone(),
            version: condition.version.clone(),
            bundle: condition.bundle.clone(),
            latitude: condition.position.map(|p| p.0),
            longitude: condition.position.map(|p| p.1),
            cameras: condition.cameras,
            cameras_searched: condition.cameras_searched,
            pending_messages: condition.pending,
            oldest_pending_seconds: condition.oldest_pending_seconds,
            link: condition.link,
        }
    }
}

impl BoatJson {
    /// `b` at `now`, with the settings that it was `sent` last.
    pub fn new(b: &BoatStatus, sent: Option<&SentSettings>, now: Timestamp) -> Self {
        let report = b.last_report.as_ref();
        let reported = report.and_then(|report| report.condition.settings.as_ref());
        let gap = |&Gap { first, last }: &Gap| GapJson { first, last };
        Self {
            boat: b.boat.to_string(),
            first_seen: b.first_seen.to_string(),
            last_seen: b.last_seen.to_string(),
            sightings: b.sightings,
            briefs: b.briefs,
            last_sequence: b.last_sequence,
            missing: b.missing,
            gaps: b.gaps.iter().map(gap).collect(),
            outboxes: b.outboxes,
            duplicate_sequences: b.duplicate_sequences,
            duplicates_in_outbox: b.duplicates_in_outbox,
            repeated: b.repeated.iter().map(gap).collect(),
            pictures_missing: b.pictures_missing,
            pictures_without_sighting: b.pictures_without_sighting,
            status: b.last_report.as_ref().map(|r| StatusJson::new(r, now)),
            bundle_transfers: b.transfers.iter().map(BundleTransferJson::from).collect(),
            settings: SettingsJson::new(sent, reported),
        }
    }
}

pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Json<Vec<BoatJson>>> {
    let boats = state.with_store(|s| s.boats()).await?;
    let now = state.clock.now();
    let sent = state.sent_settings();
    let boats = boats.iter();
    let boats = boats.map(|b| BoatJson::new(b, sent.get(&b.boat), now));
    Ok(Json(boats.collect()))
}
