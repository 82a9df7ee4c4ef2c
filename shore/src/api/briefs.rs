//! `GET /api/v1/briefs`

use super::error::ApiResult;
use super::sightings::ListParams;
use crate::request::AppState;
use crate::store::StoredBrief;
use axum::Json;
use axum::extract::{Query as QueryParams, State};
use serde::Serialize;

/// A sighting whose details have not arrived, or a later revision of one.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BriefJson {
    /// The sighting's UUID.
    pub id: String,
    /// Name of the boat that reported it.
    pub boat: String,
    /// The boat's sequence number, from 1.
    pub sequence: u64,
    /// The sighting's revision.
    pub revision: u32,
    /// Time of the first frame with the fluke.
    pub started: String,
    /// Time of the last frame with the fluke.
    pub ended: String,
    /// Frames with the fluke.
    pub frames: u32,
    /// `known`, `new`, `review` or `unidentified`.
    pub verdict: &'static str,
    /// The whale, if the verdict is `known`; a name of more than 48 bytes is cut off and ends in `…`.
    pub whale: Option<String>,
    /// The probability that the best candidate is the whale, 0 to 1, to 1/255; null if the boat's bundle
    /// has no calibrator.
    pub probability: Option<f32>,
    /// Degrees north (WGS 84); null if unknown.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// When shore stored it.
    pub received: String,
}

impl From<&StoredBrief> for BriefJson {
    fn from(brief: &StoredBrief) -> Self {
        Self {
            id: brief.sighting.to_string(),
            boat: brief.boat.to_string(),
            sequence: brief.sequence,
            revision: brief.revision,
            started: brief.started.to_string(),
            ended: brief.ended.to_string(),
            frames: brief.frames,
            verdict: brief.verdict.as_str(),
            whale: brief.whale.clone(),
            probability: brief.probability,
            latitude: brief.position.map(|p| p.0),
            longitude: brief.position.map(|p| p.1),
            received: brief.received.to_string(),
        }
    }
}

pub(super) async fn list(
    State(state): State<AppState>,
    QueryParams(params): QueryParams<ListParams>,
) -> ApiResult<Json<Vec<BriefJson>>> {
    let query = params.query()?;
    let briefs = state.with_store(move |s| s.briefs(&query)).await?;
    Ok(Json(briefs.iter().map(BriefJson::from).collect()))
}
