//! The page of rejected messages.

use super::error::{PageResult, render};
use super::format;
use crate::request::AppState;
use crate::store::{Quarantined, RejectedCount, RejectedMessage};
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

struct QuarantineRow {
    received: String,
    boat: String,
    sighting: String,
    revision: u32,
    reason: String,
}

impl From<Quarantined> for QuarantineRow {
    fn from(q: Quarantined) -> Self {
        Self {
            received: format::time(q.received),
            boat: q.boat.to_string(),
            sighting: q.sighting.to_string(),
            revision: q.revision,
            reason: q.reason,
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
    quarantine: Vec<QuarantineRow>,
    totals: Vec<Total>,
    rows: Vec<Row>,
}

pub(super) async fn page(State(state): State<AppState>) -> PageResult {
    let (quarantine, counts, messages) = state
        .with_store(|s| {
            let messages = s.rejected_messages(MAX_ROWS)?;
            Ok((s.quarantine()?, s.rejected_counts()?, messages))
        })
        .await?;
    let quarantine = quarantine.into_iter().take(MAX_ROWS);
    render(&RejectedPage {
        quarantine: quarantine.map(QuarantineRow::from).collect(),
        totals: counts.into_iter().map(Total::from).collect(),
        rows: messages.into_iter().map(Row::from).collect(),
    })
}
