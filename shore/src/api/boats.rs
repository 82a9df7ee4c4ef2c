//! `GET /api/v1/boats`

use super::error::ApiResult;
use crate::request::AppState;
use crate::store::{BoatStatus, Gap};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// A range of sequence numbers, both ends inclusive.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct GapJson {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// A boat, its last contact and what is missing from it.
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
}

impl From<&BoatStatus> for BoatJson {
    fn from(b: &BoatStatus) -> Self {
        let gap = |&Gap { first, last }: &Gap| GapJson { first, last };
        Self {
            boat: b.boat.to_string(),
            first_seen: b.first_seen.to_string(),
            last_seen: b.last_seen.to_string(),
            sightings: b.sightings,
            last_sequence: b.last_sequence,
            missing: b.missing,
            gaps: b.gaps.iter().map(gap).collect(),
            outboxes: b.outboxes,
            duplicate_sequences: b.duplicate_sequences,
            duplicates_in_outbox: b.duplicates_in_outbox,
            repeated: b.repeated.iter().map(gap).collect(),
            pictures_missing: b.pictures_missing,
            pictures_without_sighting: b.pictures_without_sighting,
        }
    }
}

pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Json<Vec<BoatJson>>> {
    let boats = state.with_store(|s| s.boats()).await?;
    Ok(Json(boats.iter().map(BoatJson::from).collect()))
}
