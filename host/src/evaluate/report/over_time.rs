//! Met again later, and in another encounter.

use super::{between, number, table};
use crate::evaluate::encounter::{AcrossEncounters, ToldBy};
use crate::evaluate::figures::{RankFigures, RankIntervals};
use crate::evaluate::time::OverTime;

/// The columns of [`row`].
pub const HEAD: [&str; 9] = ["", "queries", "R@1", "", "R@5", "", "R@10", "MAP@5", ""];

pub fn time(t: &OverTime) -> String {
    let mut rows = vec![row("all", &t.figures, &t.intervals)];
    rows.extend(t.by_gap.iter().map(|g| {
        row(
            &format!("last seen {} before", g.gap),
            &g.figures,
            &g.intervals,
        )
    }));
    format!(
        "<section id=\"time\"><h2>Is a whale known when it comes back?</h2><p>Each photo meets only photos of earlier days, as on a \
         boat that knows the past. {} photos without a date are left out.</p>{}</section>\n",
        t.left_out,
        table(&HEAD, &rows)
    )
}

pub fn encounters(e: &AcrossEncounters) -> String {
    let told = match e.told_by {
        ToldBy::Encounter => "the column 'encounter' tells them apart",
        ToldBy::WhaleAndDay => "one whale on one day counts as one",
    };
    let rows = [
        row("photo by photo", &e.by_photo, &e.by_photo_intervals),
        row(
            "each encounter as a whole",
            &e.by_encounter,
            &e.by_encounter_intervals,
        ),
    ];
    format!(
        "<section id=\"encounter\"><h2>Is a whale known in another encounter?</h2><p>A photo never meets photos of its own encounter \
         ({told}). As a whole: a whale's score is the mean over the encounter's photos. {} photos without an encounter are left \
         out.</p>{}</section>\n",
        e.left_out,
        table(&HEAD, &rows)
    )
}

/// A line of a table of figures over ranks.
pub fn row(name: &str, f: &RankFigures, i: &RankIntervals) -> Vec<String> {
    vec![
        name.to_owned(),
        f.queries.to_string(),
        number(f.recall_at_1),
        between(i.recall_at_1),
        number(f.recall_at_5),
        between(i.recall_at_5),
        number(f.recall_at_10),
        number(f.map_at_5),
        between(i.map_at_5),
    ]
}
