//! Is a whale found again?

use super::over_time::{HEAD, row};
use super::plot::Plot;
use super::{between, number, table};
use crate::evaluate::retrieval::{ByPhotos, Retrieval};

const RANKS: usize = 20;

pub fn section(r: &Retrieval) -> String {
    let shares: Vec<f64> = (1..=RANKS)
        .map(|k| r.looks.iter().filter(|l| l.rank <= k).count() as f64 / r.looks.len() as f64)
        .collect();
    let lowest = (shares[0] - 0.1).max(0.0);
    let lowest = (lowest * 10.0).floor() / 10.0;
    let mut cmc = Plot::new((1.0, RANKS as f64), (lowest, 1.0));
    cmc.curve(
        "sea",
        shares.iter().enumerate().map(|(i, s)| ((i + 1) as f64, *s)),
    );
    for (i, share) in shares.iter().enumerate() {
        cmc.mark("sea", (i + 1) as f64, *share, 3.0);
    }
    let mut rows = vec![row("all", &r.figures, &r.intervals)];
    rows.extend(r.by_photos.iter().map(|g| {
        row(
            &format!("{} in the gallery", g.photos_left),
            &g.figures,
            &g.intervals,
        )
    }));
    let nmi = r
        .nmi
        .map(|nmi| format!(", NMI {}", number(nmi)))
        .unwrap_or_default();
    format!(
        "<section id=\"retrieval\"><h2>Is a whale found again?</h2>\
         <p>Each of {} photos whose whale has another is looked up among the {} other photos of {} whales. \
         MAP@R {} {}{nmi}.</p><div class=\"plots\">{}{}</div>{}</section>\n",
        r.figures.queries,
        r.enrolled - 1,
        r.whales,
        number(r.map_at_r),
        between(r.map_at_r_interval),
        cmc.figure(
            "looking at so many whales",
            "share found among them",
            "Cumulative match: how often a person who looks at the first whales proposed finds the right one."
        ),
        by_photos(&r.by_photos),
        table(&HEAD, &rows)
    )
}

fn by_photos(groups: &[ByPhotos]) -> String {
    let mut plot = Plot::new((0.0, groups.len() as f64), (0.0, 1.0)).without_x_numbers();
    for (i, group) in groups.iter().enumerate() {
        let at = i as f64;
        plot.bar("sea", at + 0.2, at + 0.8, group.figures.recall_at_1);
        if let Some(interval) = group.intervals.recall_at_1 {
            plot.whisker(at + 0.5, interval.low, interval.high);
        }
        plot.words(
            at + 0.5,
            0.03,
            &format!("{}: {:.2}", group.photos_left, group.figures.recall_at_1),
        );
    }
    plot.figure(
        "other photos of the whale in the gallery",
        "R@1",
        "More photos of a whale make it easier to find. The lines are 95 % intervals.",
    )
}
