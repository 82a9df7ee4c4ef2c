//! `GET /api/v1/requests`, and the requests of a sighting's files.

use super::error::ApiResult;
use crate::request::AppState;
use crate::store::{FileRequest, RequestProgress};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// A file of an encounter that was requested of a boat.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FileRequestJson {
    /// The request's id.
    pub id: String,
    /// The boat.
    pub boat: String,
    /// The sighting.
    pub sighting: String,
    /// `clip` or `crops`.
    pub file: &'static str,
    /// When it was requested.
    pub requested_at: String,
    /// When the request ends.
    pub expires_at: String,
    /// The largest file that is taken.
    pub max_bytes: u64,
    /// Whether it is sent even over a link that carries only what is most important.
    pub over_any_link: bool,
    /// `open`, `complete`, `unavailable`, `failed`, `cancelled` or `expired`.
    pub progress: &'static str,
    /// Bytes that have arrived.
    pub received_bytes: u64,
    /// The size of the file; null before the boat has said it.
    pub total_bytes: Option<u64>,
    /// The SHA-256 of the file; null before the boat has said it.
    pub sha256: Option<String>,
    /// Why the file is missing; null for any other progress than `unavailable` and `failed`.
    pub reason: Option<String>,
    /// When the request ended; null while it is open.
    pub ended_at: Option<String>,
    /// The path under which the file is served; null until it is complete.
    pub path: Option<String>,
}

impl From<&FileRequest> for FileRequestJson {
    fn from(request: &FileRequest) -> Self {
        let new = &request.new;
        let is_complete = request.progress == RequestProgress::Complete;
        Self {
            id: new.id.to_string(),
            boat: new.boat.to_string(),
            sighting: new.sighting.to_string(),
            file: new.file.as_str(),
            requested_at: request.requested_at.to_string(),
            expires_at: new.expires_at.to_string(),
            max_bytes: new.max_bytes,
            over_any_link: new.over_any_link,
            progress: request.progress.as_str(),
            received_bytes: request.received,
            total_bytes: request.total,
            sha256: request.content.map(|content| content.to_string()),
            reason: request.reason.clone(),
            ended_at: request.ended_at.map(|at| at.to_string()),
            path: is_complete.then(|| format!("/files/{}", new.id)),
        }
    }
}

pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Json<Vec<FileRequestJson>>> {
    let requests = state.with_store(|s| s.file_requests(None)).await?;
    Ok(Json(requests.iter().map(FileRequestJson::from).collect()))
}
