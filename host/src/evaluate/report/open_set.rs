//! Is a new whale told from a known one?

use super::plot::Plot;
use super::{between, number, percent, table};
use crate::evaluate::open_set::{Figure, Histogram, OpenSet, RuleFigures};

pub fn section(o: &OpenSet) -> String {
    format!(
        "<section id=\"open-set\"><h2>Is a new whale told from a known one?</h2>\
         <p>Half of the whales ({}) are enrolled, {} times over, each time another half. On average {:.0} photos of enrolled whales \
         (<i>known</i>) and {:.0} of the others (<i>new</i>) are then looked up. What is fitted is fitted on half of the whales, \
         known and new, and measured on the others. Figures are averages over the draws.</p>{}\
         <div class=\"plots\">{}{}{}{}</div><h3>What a decision rule makes of it</h3>{}\
         <h3>Where to set the threshold</h3><p>The cheapest threshold where a wrong name costs as much as so many known photos left \
         without a name; found on half of the whales, measured on the others.</p>{}</section>\n",
        o.enrolled_whales,
        o.draws,
        o.known_queries,
        o.new_queries,
        figures(o),
        histogram(&o.scores),
        roc(o),
        oscr(o),
        reliability(o),
        rules(o),
        costs(o),
    )
}

fn figures(o: &OpenSet) -> String {
    let row = |name: &str, f: &Figure, says: &str| {
        let draws: Vec<f64> = f
            .by_draw
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .collect();
        let (low, high) = draws
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(*v), h.max(*v))
            });
        vec![
            name.to_owned(),
            number(f.value),
            between(f.interval),
            format!("{} – {}", number(low), number(high)),
            format!("<span class=\"words\">{says}</span>"),
        ]
    };
    table(
        &["", "", "95 % interval", "over the draws", ""],
        &[
            row(
                "AUROC",
                &o.auroc,
                "chance that a known photo scores above a new one",
            ),
            row(
                "area under OSCR",
                &o.oscr_area,
                "the same, counting known photos only under their right name",
            ),
            row(
                "named at 5 %",
                &o.named_at_5_percent,
                "known photos rightly named where 5 % of the new get a name",
            ),
            row(
                "MAP@5 with new_whale",
                &o.map_at_5_with_new,
                &format!(
                    "as in the contests; new_whale stands behind whales of {} or more",
                    number(o.new_whale_at)
                ),
            ),
        ],
    )
}

fn histogram(scores: &Histogram) -> String {
    let bins = scores.known.len();
    let edge = |bin: usize| 2.0 * bin as f64 / bins as f64 - 1.0;
    let filled = |bin: &usize| scores.known[*bin] + scores.new[*bin] > 0;
    let first = (0..bins).find(filled).unwrap_or(0);
    let last = (0..bins).rfind(filled).unwrap_or(bins - 1);
    let share = |counts: &[usize], bin: usize| {
        counts[bin] as f64 / counts.iter().sum::<usize>().max(1) as f64
    };
    let highest = (first..=last)
        .map(|b| share(&scores.known, b).max(share(&scores.new, b)))
        .fold(0.01, f64::max);
    let mut plot = Plot::new((edge(first), edge(last + 1)), (0.0, highest * 1.05));
    for bin in first..=last {
        plot.bar("new", edge(bin), edge(bin + 1), share(&scores.new, bin));
        plot.bar("known", edge(bin), edge(bin + 1), share(&scores.known, bin));
    }
    plot.figure(
        "cosine to the most similar enrolled photo",
        "share of photos",
        "<span class=\"key\" style=\"background:var(--known)\"></span>known and <span class=\"key\" \
         style=\"background:var(--new)\"></span>new whales. Where they overlap, no threshold tells them apart.",
    )
}

fn roc(o: &OpenSet) -> String {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    plot.curve("sea", o.roc.iter().map(|p| (p.new, p.hit)));
    plot.figure(
        "share of new photos that pass",
        "share of known photos that pass",
        &format!(
            "ROC: AUROC {} {}. The broken line is chance.",
            number(o.auroc.value),
            between(o.auroc.interval)
        ),
    )
}

fn oscr(o: &OpenSet) -> String {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.05, 0.0), (0.05, 1.0)].into_iter());
    plot.curve("known", o.oscr.iter().map(|p| (p.new, p.hit)));
    plot.figure(
        "share of new photos given a name",
        "share of known photos rightly named",
        &format!(
            "OSCR: area {} {}. The broken line is 5 %, where {} of known photos are rightly named.",
            number(o.oscr_area.value),
            between(o.oscr_area.interval),
            percent(o.named_at_5_percent.value)
        ),
    )
}

fn reliability(o: &OpenSet) -> String {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    let filled = || o.reliability.iter().filter(|b| b.photos > 0);
    plot.curve("sea", filled().map(|b| (b.chance, b.right)));
    let most = filled().map(|b| b.photos).max().unwrap_or(1) as f64;
    for bin in filled() {
        plot.mark(
            "sea",
            bin.chance,
            bin.right,
            3.0 + 7.0 * (bin.photos as f64 / most).sqrt(),
        );
    }
    plot.figure(
        "chance named that the first whale is right",
        "share that was right",
        &format!(
            "Reliability: on the broken line, a chance can be taken at its word. ECE {} (by an isotonic curve {}, {}the score taken \
             for a chance {}). The chance is a logistic curve of the best score and its lead over the second whale; larger points \
             stand for more photos.",
            number(o.calibration_error),
            number(o.calibration_error_isotonic),
            o.calibration_error_as_shipped
                .map_or_else(String::new, |e| format!("by the bundle's own {}, ", number(e))),
            number(o.calibration_error_of_scores),
        ),
    )
}

fn rules(o: &OpenSet) -> String {
    let row = |name: &str, r: &RuleFigures| {
        vec![
            format!(
                "{name}<br><span class=\"note\">known from {}, new below {}</span>",
                number(r.known_at),
                number(r.new_below)
            ),
            percent(r.known_named_rightly),
            percent(r.known_named_wrongly),
            percent(r.known_for_review),
            percent(r.known_called_new),
            percent(r.new_called_new),
            percent(r.new_for_review),
            percent(r.new_named),
            format!("{}<br>{}", number(r.baks.value), between(r.baks.interval)),
            format!("{}<br>{}", number(r.baus.value), between(r.baus.interval)),
        ]
    };
    let rules = [
        ("the bundle's, as it is", &o.rule_as_shipped),
        ("as enrolling sets it", &o.rule_as_enrolled),
    ];
    let rows: Vec<_> = rules
        .iter()
        .filter_map(|(name, r)| r.as_ref().map(|r| row(name, r)))
        .collect();
    table(
        &[
            "rule",
            "known: right name",
            "wrong name",
            "review",
            "called new",
            "new: called new",
            "review",
            "given a name",
            "BAKS",
            "BAUS",
        ],
        &rows,
    ) + "<p class=\"note\">Shares of photos. BAKS: share rightly named, averaged over known whales. BAUS: share called new, averaged over \
         new whales. What goes to review counts for neither.</p>"
}

fn costs(o: &OpenSet) -> String {
    let rows: Vec<Vec<String>> = o
        .costs
        .iter()
        .map(|c| {
            vec![
                format!("{}", c.wrong_name_costs),
                number(c.threshold),
                percent(c.known_named_rightly),
                percent(c.known_named_wrongly),
                percent(c.new_named),
            ]
        })
        .collect();
    table(
        &[
            "a wrong name costs",
            "name from",
            "known named rightly",
            "known named wrongly",
            "new given a name",
        ],
        &rows,
    )
}
