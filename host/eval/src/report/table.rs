//! Tables.

use crate::metrics::rank::{RankIntervals, RankMetrics};
use crate::report::format::{interval, number};
use askama::Template;

/// A table with a header.
#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    pub(super) header: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
}

pub(super) struct Cell {
    text: String,
    /// Second line, in small print.
    note: String,
    /// Whether the cell holds a sentence.
    is_prose: bool,
}

impl Cell {
    pub(super) fn with_note(text: String, note: String) -> Self {
        Self {
            text,
            note,
            is_prose: false,
        }
    }

    pub(super) fn prose(text: String) -> Self {
        Self {
            text,
            note: String::new(),
            is_prose: true,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::with_note(text, String::new())
    }
}

impl Table {
    /// Rank metrics, one group of queries per row.
    pub(super) fn of_ranks<'a>(
        groups: impl IntoIterator<Item = (String, &'a RankMetrics, &'a RankIntervals)>,
    ) -> Self {
        let row = |(name, metrics, intervals): (String, &RankMetrics, &RankIntervals)| {
            vec![
                name.into(),
                metrics.queries.to_string().into(),
                number(metrics.recall_at_1).into(),
                interval(intervals.recall_at_1).into(),
                number(metrics.recall_at_5).into(),
                interval(intervals.recall_at_5).into(),
                number(metrics.recall_at_10).into(),
                number(metrics.map_at_5).into(),
                interval(intervals.map_at_5).into(),
            ]
        };
        Self {
            header: vec!["", "queries", "R@1", "", "R@5", "", "R@10", "MAP@5", ""],
            rows: groups.into_iter().map(row).collect(),
        }
    }
}
