//! The page of boats: last contact and missing sightings.

use super::error::{PageResult, render};
use super::format;
use crate::request::AppState;
use crate::store::{BoatStatus, Gap, MAX_GAPS};
use askama::Template;
use axum::extract::State;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;

struct Boat {
    name: String,
    last_seen: String,
    last_seen_relative: String,
    sightings: u64,
    last_sequence: u64,
    missing: u64,
    gaps: Vec<String>,
    gaps_truncated: bool,
    outboxes: u64,
    repeated: Vec<String>,
    repeated_truncated: bool,
    duplicates_in_outbox: u64,
    has_twin: bool,
    pictures_missing: u64,
    pictures_without_sighting: u64,
}

impl Boat {
    fn new(b: &BoatStatus, twins: &[BoatId], now: Timestamp) -> Self {
        Self {
            name: b.boat.to_string(),
            last_seen: format::time(b.last_seen),
            last_seen_relative: format::relative_time(b.last_seen, now),
            sightings: b.sightings,
            last_sequence: b.last_sequence,
            missing: b.missing,
            gaps: b.gaps.iter().map(range).collect(),
            gaps_truncated: b.gaps.len() == MAX_GAPS,
            outboxes: b.outboxes,
            repeated: b.repeated.iter().map(range).collect(),
            repeated_truncated: b.repeated.len() == MAX_GAPS,
            duplicates_in_outbox: b.duplicates_in_outbox,
            has_twin: twins.contains(&b.boat),
            pictures_missing: b.pictures_missing,
            pictures_without_sighting: b.pictures_without_sighting,
        }
    }
}

fn range(gap: &Gap) -> String {
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

pub(super) async fn page(State(state): State<AppState>) -> PageResult {
    let now = state.clock.now();
    let boats = state.with_store(|s| s.boats()).await?;
    let twins = state.health.twins();
    render(&BoatsPage {
        boats: boats.iter().map(|b| Boat::new(b, &twins, now)).collect(),
        broker: state.broker,
    })
}
