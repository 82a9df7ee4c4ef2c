//! `GET /api/v1/rejected`

use super::error::ApiResult;
use crate::request::AppState;
use crate::store::{RejectedCount, RejectedMessage};
use axum::Json;
use axum::extract::State;
use flukewatch_http::Rejection;
use serde::Serialize;

const MAX_MESSAGES: usize = 1000;

/// Rejected messages: all counted, the latest listed, newest first.
#[derive(Serialize)]
pub(super) struct RejectedJson {
    counts: Vec<CountJson>,
    messages: Vec<MessageJson>,
}

#[derive(Serialize)]
pub(super) struct CountJson {
    reason: String,
    total: u64,
}

impl From<RejectedCount> for CountJson {
    fn from(c: RejectedCount) -> Self {
        Self {
            reason: c.reason,
            total: c.total,
        }
    }
}

impl From<(Rejection, u64)> for CountJson {
    fn from((reason, total): (Rejection, u64)) -> Self {
        Self {
            reason: reason.name().to_owned(),
            total,
        }
    }
}

#[derive(Serialize)]
struct MessageJson {
    reason: String,
    detail: String,
    topic: String,
    bytes: u64,
    /// The first 256 bytes.
    head_hex: String,
    /// How often the same message was received.
    count: u64,
    first_seen: String,
    last_seen: String,
}

impl From<RejectedMessage> for MessageJson {
    fn from(m: RejectedMessage) -> Self {
        Self {
            reason: m.reason,
            detail: m.detail,
            topic: m.topic,
            bytes: m.bytes,
            head_hex: m.head,
            count: m.count,
            first_seen: m.first_seen.to_string(),
            last_seen: m.last_seen.to_string(),
        }
    }
}

pub(super) async fn list(State(state): State<AppState>) -> ApiResult<Json<RejectedJson>> {
    let (counts, messages) = state
        .with_store(|s| Ok((s.rejected_counts()?, s.rejected_messages(MAX_MESSAGES)?)))
        .await?;
    Ok(Json(RejectedJson {
        counts: counts.into_iter().map(CountJson::from).collect(),
        messages: messages.into_iter().map(MessageJson::from).collect(),
    }))
}
