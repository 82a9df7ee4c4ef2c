//! Retrieval forward in time and across encounters.

use crate::protocols::encounter::{EncounterKey, EncounterResult};
use crate::protocols::time::TimeResult;
use crate::report::table::Table;
use askama::Template;

#[derive(Template)]
#[template(path = "evaluation/time.html")]
pub(super) struct TimeSection {
    undated_photos: usize,
    table: Table,
}

impl TimeSection {
    pub(super) fn new(t: &TimeResult) -> Self {
        let all = ("all".into(), &t.metrics, &t.intervals);
        let groups = t.by_gap.iter().map(|g| {
            let name = format!("last seen {} before", g.gap);
            (name, &g.metrics, &g.intervals)
        });
        Self {
            undated_photos: t.undated_photos,
            table: Table::of_ranks(std::iter::once(all).chain(groups)),
        }
    }
}

#[derive(Template)]
#[template(path = "evaluation/encounter.html")]
pub(super) struct EncounterSection {
    key: &'static str,
    photos_without_encounter: usize,
    table: Table,
}

impl EncounterSection {
    pub(super) fn new(e: &EncounterResult) -> Self {
        Self {
            key: match e.encounter_key {
                EncounterKey::Encounter => "column 'encounter'",
                EncounterKey::WhaleAndDay => "one whale on one day",
            },
            photos_without_encounter: e.photos_without_encounter,
            table: Table::of_ranks([
                ("photo by photo".into(), &e.by_photo, &e.by_photo_intervals),
                (
                    "by encounter".into(),
                    &e.by_encounter,
                    &e.by_encounter_intervals,
                ),
            ]),
        }
    }
}
