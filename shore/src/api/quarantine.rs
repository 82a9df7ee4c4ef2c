//! `GET /api/v1/quarantine`

use super::error::ApiResult;
use crate::request::AppState;
use crate::store::Quarantined;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// A sighting whose sequence number or time cannot be right.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct QuarantinedJson {
    /// The sighting's id.
    pub sighting: String,
    /// Its revision.
    pub revision: u32,
    /// The boat that sent it.
    pub boat: String,
    /// What cannot be right about it.
    pub reason: String,
    /// When it was received.
    pub received: String,
}

impl From<Quarantined> for QuarantinedJson {
    fn from(q: Quarantined) -> Self {
        Self {
            sighting: q.sighting.to_string(),
            revision: q.revision,
            boat: q.boat.to_string(),
            reason: q.reason,
            received: q.received.to_string(),
        }
    }
}

pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Json<Vec<QuarantinedJson>>> {
    let all = state.with_store(|s| s.quarantine()).await?;
    Ok(Json(all.into_iter().map(QuarantinedJson::from).collect()))
}
