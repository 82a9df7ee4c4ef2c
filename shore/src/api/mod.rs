//! The JSON API, version 1. All requests are GET.
//!
//! | path under `/api/v1` | response |
//! |---|---|
//! | `/sightings` | array of [`SightingJson`], newest first |
//! | `/sightings/{id}` | one [`RevisedSightingJson`] |
//! | `/briefs` | array of [`BriefJson`]: sightings without details yet, newest first |
//! | `/boats` | array of [`BoatJson`] |
//! | `/requests` | array of [`FileRequestJson`]: clips and crops that were requested of boats, the latest first |
//! | `/quarantine` | array of [`QuarantinedJson`], the latest first |
//! | `/rejected` | counts and the latest rejected messages |
//! | `/health` | counts, also of rejected requests; status 503 while shore is not connected to its broker or cannot store |
//!
//! `/sightings` takes the parameters `boat`, `verdict`, `encounter`, `limit` (default 1000, at most
//! 10,000) and `offset`, and `/briefs` all but `encounter`; the header `x-total-count` gives the number of matches without a limit.
//!
//! Keys are snake_case, times are RFC 3339 in UTC, and an error is `{"error": ".."}`.

mod boats;
mod briefs;
mod bundle_transfers;
mod error;
mod file_requests;
mod health;
mod quarantine;
mod rejected;
mod settings;
mod sightings;

pub use boats::{BoatJson, GapJson, StatusJson};
pub use briefs::BriefJson;
pub use bundle_transfers::BundleTransferJson;
pub use file_requests::FileRequestJson;
pub use quarantine::QuarantinedJson;
pub use settings::SettingsJson;
pub use sightings::{
    BoxJson, CandidateJson, CropJson, FootageJson, PositionJson, RevisedSightingJson, SightingJson,
    TimeJson,
};

use crate::request::AppState;
use axum::Router;
use axum::routing::get;

pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/sightings", get(sightings::list))
        .route("/sightings/{id}", get(sightings::by_id))
        .route("/briefs", get(briefs::list))
        .route("/boats", get(boats::list))
        .route("/requests", get(file_requests::list))
        .route("/quarantine", get(quarantine::list))
        .route("/rejected", get(rejected::list))
        .route("/health", get(health::health))
}
