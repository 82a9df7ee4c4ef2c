//! Messages that were not stored.

use super::error::{PageError, page as render};
use super::{Pages, wording};
use crate::store::RefusedCount;
use askama::Template;
use axum::extract::State;
use axum::response::Response;

/// How many are listed.
const LISTED: usize = 200;

struct Row {
    reason: String,
    detail: String,
    topic: String,
    size: String,
    times: u64,
    last_seen: String,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    counts: Vec<RefusedCount>,
    rows: Vec<Row>,
}

/// `GET /refused`
pub(super) async fn page(State(pages): State<Pages>) -> Result<Response, PageError> {
    let (counts, messages) = pages
        .ask(|s| Ok((s.refused_counts()?, s.refused(LISTED)?)))
        .await?;
    let rows = messages.into_iter().map(|m| Row {
        reason: m.reason,
        detail: m.detail,
        topic: m.topic,
        size: wording::size(m.bytes),
        times: m.times,
        last_seen: wording::time(m.last_seen),
    });
    render(&RefusedPage {
        counts,
        rows: rows.collect(),
    })
}
