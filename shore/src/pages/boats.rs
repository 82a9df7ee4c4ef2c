//! Boats: when they were last heard, and what is missing.

use super::error::{PageError, page as render};
use super::{Pages, wording};
use crate::store::{BoatStatus, Gap, MAX_GAPS};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use flukewatch_common::clock::Timestamp;

struct Boat {
    name: String,
    last_seen: String,
    ago: String,
    sightings: u64,
    highest: u64,
    missing: u64,
    gaps: Vec<String>,
    more_gaps: bool,
    repeated: u64,
    pictures_missing: u64,
    pictures_waiting: u64,
}

impl Boat {
    fn of(b: BoatStatus, now: Timestamp) -> Self {
        Self {
            name: b.boat.to_string(),
            last_seen: wording::time(b.last_seen),
            ago: wording::ago(b.last_seen, now),
            sightings: b.sightings,
            highest: b.highest_sequence,
            missing: b.missing,
            more_gaps: b.gaps.len() == MAX_GAPS,
            gaps: b.gaps.iter().map(in_words).collect(),
            repeated: b.repeated,
            pictures_missing: b.pictures_missing,
            pictures_waiting: b.pictures_waiting,
        }
    }
}

fn in_words(gap: &Gap) -> String {
    if gap.first == gap.last {
        gap.first.to_string()
    } else {
        format!("{}–{}", gap.first, gap.last)
    }
}

#[derive(Template)]
#[template(path = "boats.html")]
struct BoatsPage {
    boats: Vec<Boat>,
    broker: String,
}

/// `GET /boats`
pub(super) async fn page(State(pages): State<Pages>) -> Result<Response, PageError> {
    let now = pages.clock.now();
    let boats = pages.ask(|s| s.boats()).await?;
    render(&BoatsPage {
        boats: boats.into_iter().map(|b| Boat::of(b, now)).collect(),
        broker: pages.broker,
    })
}
