//! Open set: known and new whales.

use crate::metrics::reliability::ReliabilityBin;
use crate::protocols::open_set::metric::Metric;
use crate::protocols::open_set::rule::RuleMetrics;
use crate::protocols::open_set::{EncounterOpenSet, Histogram, OpenSetResult};
use crate::report::format::{interval, number, percent};
use crate::report::plot::{Figure, Key, Plot};
use crate::report::table::{Cell, Table};
use askama::Template;

#[derive(Template)]
#[template(path = "evaluation/open_set.html")]
pub(super) struct OpenSetSection {
    enrolled_whales: usize,
    trials: usize,
    known_queries: String,
    new_queries: String,
    metrics: Table,
    histogram: Figure,
    roc: Figure,
    oscr: Figure,
    reliability: Figure,
    rules: Table,
    costs: Table,
    encounters: Table,
}

impl OpenSetSection {
    pub(super) fn new(o: &OpenSetResult) -> Self {
        Self {
            enrolled_whales: o.enrolled_whales,
            trials: o.trials,
            known_queries: format!("{:.0}", o.known_queries),
            new_queries: format!("{:.0}", o.new_queries),
            metrics: metrics(o),
            histogram: histogram(&o.scores),
            roc: roc(o),
            oscr: oscr(o),
            reliability: reliability(o),
            rules: rules(o),
            costs: costs(o),
            encounters: encounters(o),
        }
    }
}

fn metrics(o: &OpenSetResult) -> Table {
    let row = |name: &str, metric: &Metric, meaning: String| {
        let finite = || metric.by_trial.iter().copied().filter(|v| v.is_finite());
        let low = finite().fold(f64::INFINITY, f64::min);
        let high = finite().fold(f64::NEG_INFINITY, f64::max);
        vec![
            name.to_owned().into(),
            number(metric.value).into(),
            interval(metric.interval).into(),
            format!("{} – {}", number(low), number(high)).into(),
            Cell::prose(meaning),
        ]
    };
    Table {
        header: vec!["", "", "95 % interval", "over the trials", ""],
        rows: vec![
            row(
                "AUROC",
                &o.auroc,
                "probability that a known photo scores above a new one".into(),
            ),
            row(
                "area under OSCR",
                &o.oscr_area,
                "the same, counting known photos only with the right name".into(),
            ),
            row(
                "TPIR at 5 % FMR",
                &o.tpir_at_5_percent_fmr,
                "known photos with the right name where 5 % of new ones get a name".into(),
            ),
            row(
                "MAP@5 with new_whale",
                &o.map_at_5_with_new_whale,
                format!(
                    "as in the contests; new_whale ranks below scores of {}",
                    number(o.new_whale_threshold)
                ),
            ),
        ],
    }
}

fn histogram(scores: &Histogram) -> Figure {
    let bins = scores.known.len();
    let edge = |bin: usize| 2.0 * bin as f64 / bins as f64 - 1.0;
    let filled = |bin: &usize| scores.known[*bin] + scores.new[*bin] > 0;
    let first = (0..bins).find(filled).unwrap_or(0);
    let last = (0..bins).rfind(filled).unwrap_or(bins - 1);
    let fraction = |counts: &[usize], bin: usize| {
        counts[bin] as f64 / counts.iter().sum::<usize>().max(1) as f64
    };
    let highest = (first..=last)
        .map(|b| fraction(&scores.known, b).max(fraction(&scores.new, b)))
        .fold(0.01, f64::max);
    let mut plot = Plot::new((edge(first), edge(last + 1)), (0.0, highest * 1.05)).with_keys([
        Key::new("var(--known)", "known whales"),
        Key::new("var(--new)", "new whales"),
    ]);
    for bin in first..=last {
        plot.bar("new", edge(bin), edge(bin + 1), fraction(&scores.new, bin));
        plot.bar(
            "known",
            edge(bin),
            edge(bin + 1),
            fraction(&scores.known, bin),
        );
    }
    plot.finish(
        "score of the top-1 whale",
        "fraction of photos",
        "Where the two overlap, no threshold separates them.",
    )
}

fn roc(o: &OpenSetResult) -> Figure {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    plot.curve(
        "sea",
        o.roc.iter().map(|p| (p.new_accepted, p.known_accepted)),
    );
    plot.finish(
        "fraction of new photos accepted",
        "fraction of known photos accepted",
        format!(
            "ROC: AUROC {} {}. The dashed line is random guessing.",
            number(o.auroc.value),
            interval(o.auroc.interval)
        ),
    )
}

fn oscr(o: &OpenSetResult) -> Figure {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.05, 0.0), (0.05, 1.0)].into_iter());
    plot.curve(
        "known",
        o.oscr.iter().map(|p| (p.new_accepted, p.known_accepted)),
    );
    plot.finish(
        "false match rate (new photos with a name)",
        "known photos with the right name",
        format!(
            "OSCR: area {} {}. At 5 % (dashed line), {} of the known photos get the right name.",
            number(o.oscr_area.value),
            interval(o.oscr_area.interval),
            percent(o.tpir_at_5_percent_fmr.value)
        ),
    )
}

fn reliability(o: &OpenSetResult) -> Figure {
    let mut plot = Plot::new((0.0, 1.0), (0.0, 1.0));
    plot.curve("quiet", [(0.0, 0.0), (1.0, 1.0)].into_iter());
    let filled = || o.reliability.iter().filter(|b| b.photos > 0);
    let point = |bin: &ReliabilityBin| (bin.mean_probability, bin.fraction_correct);
    plot.curve("sea", filled().map(point));
    let most = filled().map(|b| b.photos).max().unwrap_or(1) as f64;
    for bin in filled() {
        let (x, y) = point(bin);
        plot.mark("sea", x, y, 3.0 + 7.0 * (bin.photos as f64 / most).sqrt());
    }
    let as_shipped = o
        .expected_calibration_error_as_shipped
        .map_or_else(String::new, |e| {
            format!(
                "The bundle's probabilities as shipped have an expected calibration error of {}. ",
                number(e)
            )
        });
    plot.finish(
        "predicted probability that the top-1 whale is right",
        "fraction that was right",
        format!(
            "Reliability of a calibrator fitted on half of these whales: on the dashed line, \
             probabilities are exact. {as_shipped}Fitted here it is {} (isotonic {}, of the score \
             itself {}). The probability is a logistic function of the best score and its margin to \
             the second whale. Larger points stand for more photos.",
            number(o.expected_calibration_error),
            number(o.expected_calibration_error_isotonic),
            number(o.expected_calibration_error_of_score),
        ),
    )
}

fn rules(o: &OpenSetResult) -> Table {
    let with_interval =
        |metric: &Metric| Cell::with_note(number(metric.value), interval(metric.interval));
    let row = |name: &str, r: &RuleMetrics| {
        vec![
            Cell::with_note(
                name.to_owned(),
                format!(
                    "known from {}, new below {}",
                    number(r.known_at),
                    number(r.new_below)
                ),
            ),
            percent(r.true_identification_rate).into(),
            percent(r.misidentification_rate).into(),
            percent(r.known_review_rate).into(),
            percent(r.false_new_rate).into(),
            percent(r.true_new_rate).into(),
            percent(r.new_review_rate).into(),
            percent(r.false_match_rate).into(),
            with_interval(&r.baks),
            with_interval(&r.baus),
        ]
    };
    let rules = [
        ("of the bundle", &o.rule_of_bundle),
        ("fitted by enrolment", &o.rule_of_enrolment),
    ];
    Table {
        header: vec![
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
        rows: rules
            .iter()
            .filter_map(|(name, rule)| rule.as_ref().map(|rule| row(name, rule)))
            .collect(),
    }
}

fn encounters(o: &OpenSetResult) -> Table {
    let with_interval =
        |metric: &Metric| Cell::with_note(number(metric.value), interval(metric.interval));
    let optional = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
    let row = |e: &EncounterOpenSet| {
        vec![
            e.photos.to_owned().into(),
            format!("{:.0}", e.known_queries).into(),
            format!("{:.0}", e.new_queries).into(),
            with_interval(&e.auroc),
            with_interval(&e.tpir_at_5_percent_fmr),
            optional(e.expected_calibration_error_as_shipped).into(),
            number(e.expected_calibration_error).into(),
        ]
    };
    Table {
        header: vec![
            "photos per encounter",
            "known",
            "new",
            "AUROC",
            "TPIR at 5 % FMR",
            "calibration error as shipped",
            "fitted here",
        ],
        rows: o.encounters.iter().map(row).collect(),
    }
}

fn costs(o: &OpenSetResult) -> Table {
    let row = |c: &crate::protocols::open_set::threshold::CostRow| {
        vec![
            c.wrong_name_cost.to_string().into(),
            number(c.threshold).into(),
            percent(c.true_identification_rate).into(),
            percent(c.misidentification_rate).into(),
            percent(c.false_match_rate).into(),
        ]
    };
    Table {
        header: vec![
            "cost of a wrong name",
            "threshold",
            "known: right name",
            "known: wrong name",
            "new: given a name",
        ],
        rows: o.costs.iter().map(row).collect(),
    }
}
