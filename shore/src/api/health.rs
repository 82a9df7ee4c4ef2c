//! `GET /api/v1/health`

use super::error::ApiResult;
use super::rejected::CountJson;
use crate::health::{BrokerProcess, MessageFailures};
use crate::request::AppState;
use crate::store::Query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flukewatch_common::sighting::BoatId;
use serde::Serialize;

#[derive(Serialize)]
struct HealthJson {
    /// `ok`, or `degraded` while shore is not connected to the broker or cannot store.
    status: &'static str,
    /// The URL that boats publish to.
    broker: String,
    /// The broker's process; null where the station runs none, i.e. with `--mqtt` or `--broker`.
    broker_process: Option<BrokerProcess>,
    /// The known cause of a degraded status.
    issue: Option<String>,
    /// Boats under whose name two computers send, e.g. because a card was copied.
    twins: Vec<String>,
    /// Number of stored sightings.
    sightings: u64,
    /// Number of known boats.
    boats: u64,
    /// Missing sequence numbers of all boats.
    missing: u64,
    /// Sightings in quarantine.
    quarantined: u64,
    /// Messages that alone could not be stored, since the start.
    failed_messages: MessageFailures,
    /// Rejected messages by reason.
    rejected: Vec<CountJson>,
    /// Rejected HTTP connections and requests by reason, since the start.
    rejected_requests: Vec<CountJson>,
}

pub(super) async fn health(State(state): State<AppState>) -> ApiResult<Response> {
    let count_only = Query::default();
    let (sightings, boats, quarantined, rejected) = state
        .with_store(move |s| {
            let sightings = s.sightings(&count_only)?.total;
            let quarantined = s.quarantine()?.len();
            Ok((sightings, s.boats()?, quarantined, s.rejected_counts()?))
        })
        .await?;
    let rejected_requests = state.rejections.counts().filter(|(_, count)| *count > 0);
    let issue = state.health.issue();
    let (status, code) = if state.health.is_connected() && issue.is_none() {
        ("ok", StatusCode::OK)
    } else {
        ("degraded", StatusCode::SERVICE_UNAVAILABLE)
    };
    let health = HealthJson {
        status,
        broker: state.broker,
        broker_process: state.health.broker_process(),
        issue,
        twins: state.health.twins().iter().map(BoatId::to_string).collect(),
        sightings,
        boats: boats.len() as u64,
        missing: boats.iter().map(|b| b.missing).fold(0, u64::saturating_add),
        quarantined: quarantined as u64,
        failed_messages: state.health.message_failures(),
        rejected: rejected.into_iter().map(CountJson::from).collect(),
        rejected_requests: rejected_requests.map(CountJson::from).collect(),
    };
    Ok((code, Json(health)).into_response())
}
