//! Leave-one-out retrieval.

use crate::protocols::retrieval::{OtherPhotosGroup, RetrievalResult};
use crate::report::format::{interval, number};
use crate::report::plot::{Figure, Plot};
use crate::report::table::Table;
use askama::Template;

/// Ranks on the cumulative match curve.
const RANKS: usize = 20;

#[derive(Template)]
#[template(path = "evaluation/retrieval.html")]
pub(super) struct RetrievalSection {
    queries: usize,
    others: usize,
    whales: usize,
    /// Recall@1, 5 and 10 over photos, each with its interval.
    photo_recall: String,
    map_at_r: String,
    map_at_r_interval: String,
    nmi: Option<String>,
    cumulative_match: Figure,
    by_other_photos: Figure,
    table: Table,
}

impl RetrievalSection {
    pub(super) fn new(r: &RetrievalResult) -> Self {
        let all = ("all".into(), &r.metrics, &r.intervals);
        let groups = r.by_other_photos.iter().map(|g| {
            let name = format!("{} in the gallery", g.other_photos);
            (name, &g.metrics, &g.intervals)
        });
        Self {
            queries: r.metrics.queries,
            others: r.enrolled - 1,
            whales: r.whales,
            photo_recall: photo_recall(r),
            map_at_r: number(r.map_at_r),
            map_at_r_interval: interval(r.map_at_r_interval),
            nmi: r.nmi.map(number),
            cumulative_match: cumulative_match(r),
            by_other_photos: by_other_photos(&r.by_other_photos),
            table: Table::of_ranks(std::iter::once(all).chain(groups)),
        }
    }
}

fn photo_recall(r: &RetrievalResult) -> String {
    let (recall, intervals) = (&r.photo_recall, &r.photo_recall_intervals);
    let figures = [
        (1, recall.photo_recall_at_1, intervals.photo_recall_at_1),
        (5, recall.photo_recall_at_5, intervals.photo_recall_at_5),
        (10, recall.photo_recall_at_10, intervals.photo_recall_at_10),
    ];
    let figures = figures.map(|(count, value, of)| {
        let text = format!("Recall@{count} {} {}", number(value), interval(of));
        text.trim_end().to_owned()
    });
    figures.join(", ")
}

fn cumulative_match(r: &RetrievalResult) -> Figure {
    let within: Vec<f64> = (1..=RANKS)
        .map(|k| r.queries.iter().filter(|q| q.rank <= k).count() as f64 / r.queries.len() as f64)
        .collect();
    let lowest = ((within[0] - 0.1).max(0.0) * 10.0).floor() / 10.0;
    let mut plot = Plot::new((1.0, RANKS as f64), (lowest, 1.0));
    plot.curve(
        "sea",
        within.iter().enumerate().map(|(i, s)| ((i + 1) as f64, *s)),
    );
    for (i, fraction) in within.iter().enumerate() {
        plot.mark("sea", (i + 1) as f64, *fraction, 3.0);
    }
    plot.finish(
        "whales looked at",
        "fraction of queries found",
        "Cumulative match: how often a person who looks at the first candidates finds the right whale.",
    )
}

fn by_other_photos(groups: &[OtherPhotosGroup]) -> Figure {
    let mut plot = Plot::new((0.0, groups.len() as f64), (0.0, 1.0)).without_x_ticks();
    for (i, group) in groups.iter().enumerate() {
        let at = i as f64;
        plot.bar("sea", at + 0.2, at + 0.8, group.metrics.recall_at_1);
        if let Some(interval) = group.intervals.recall_at_1 {
            plot.whisker(at + 0.5, interval.low, interval.high);
        }
        let text = format!("{}: {:.2}", group.other_photos, group.metrics.recall_at_1);
        plot.text(at + 0.5, 0.03, text);
    }
    plot.finish(
        "other photos of the whale in the gallery",
        "R@1",
        "A whale with more photos is easier to find. Lines are 95 % intervals.",
    )
}
