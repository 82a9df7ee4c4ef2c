//! The page of rejected messages.

use super::error::{PageResult, render};
use super::format;
use crate::request::AppState;
use crate::store::{RejectedCount, RejectedMessage};
use askama::Template;
use axum::extract::State;

const MAX_ROWS: usize = 200;

struct Row {
    reason: String,
    detail: String,
    topic: String,
    size: String,
    count: u64,
    last_seen: String,
}

impl From<RejectedMessage> for Row {
    fn from(m: RejectedMessage) -> Self {
        Self {
            reason: format::reason(&m.reason),
            detail: m.detail,
            topic: m.topic,
            size: format::size(m.bytes),
            count: m.count,
            last_seen: format::time(m.last_seen),
        }
    }
}

struct Total {
    reason: String,
    total: u64,
}

impl From<RejectedCount> for Total {
    fn from(c: RejectedCount) -> Self {
        Self {
            reason: format::reason(&c.reason),
            total: c.total,
        }
    }
}

#[derive(Template)]
#[template(path = "rejected.html")]
struct RejectedPage {
    totals: Vec<Total>,
    rows: Vec<Row>,
}

pub(super) async fn page(State(state): State<AppState>) -> PageResult {
    let (counts, messages) = state
        .with_store(|s| Ok((s.rejected_counts()?, s.rejected_messages(MAX_ROWS)?)))
        .await?;
    render(&RejectedPage {
        totals: counts.into_iter().map(Total::from).collect(),
        rows: messages.into_iter().map(Row::from).collect(),
    })
}
