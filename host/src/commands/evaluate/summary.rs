//! The results of an evaluation on the terminal.

use flukewatch_eval::compare::Comparison;
use flukewatch_eval::metrics::bootstrap::Interval;
use flukewatch_eval::metrics::rank::{RankIntervals, RankMetrics};
use flukewatch_eval::protocols::open_set::metric::Metric;
use flukewatch_eval::protocols::open_set::rule::RuleMetrics;
use flukewatch_eval::protocols::open_set::{EncounterOpenSet, OpenSetResult};
use flukewatch_eval::protocols::retrieval::RetrievalResult;
use flukewatch_eval::results::EvaluationResults;

/// Prints the results, under titles if there are several protocols.
pub(super) fn print(results: &EvaluationResults) {
    let protocols = [
        results.retrieval.is_some(),
        results.open_set.is_some(),
        results.time.is_some(),
        results.encounter.is_some(),
    ];
    let has_titles = protocols.into_iter().filter(|run| *run).count() > 1;
    let title = |text: &str| {
        if has_titles {
            println!("\n{text}");
        }
    };
    if let Some(r) = &results.retrieval {
        title("Retrieval, leave one out");
        print_retrieval(r);
    }
    if let Some(o) = &results.open_set {
        title("Open set");
        print_open_set(o);
    }
    if let Some(t) = &results.time {
        title("Forward in time");
        print_ranks(&t.metrics, &t.intervals);
        for group in &t.by_gap {
            print_group(&format!("last seen {} before", group.gap), &group.metrics);
        }
        println!(
            "{} queries, {} photos without a date skipped",
            t.metrics.queries, t.undated_photos
        );
    }
    if let Some(e) = &results.encounter {
        title("Across encounters");
        println!("by photo ({} queries)", e.by_photo.queries);
        print_ranks(&e.by_photo, &e.by_photo_intervals);
        println!("by encounter ({} queries)", e.by_encounter.queries);
        print_ranks(&e.by_encounter, &e.by_encounter_intervals);
        println!(
            "{} photos without an encounter skipped",
            e.photos_without_encounter
        );
    }
    match &results.training_overlap {
        Some(overlap) => println!("model trained on {overlap}"),
        None => println!("model trained on unknown photos: they may be among these"),
    }
    if let Some(c) = &results.comparison {
        println!("\nComparison with the other bundle");
        print_comparison(c);
    }
}

fn print_comparison(c: &Comparison) {
    if let Some([ours, theirs]) = c.recall_at_1 {
        println!("R@1    {ours:.3}, of the other bundle {theirs:.3}");
    }
    if let (Some(mean), Some(min)) = (c.mean_cosine, c.min_cosine) {
        println!("cosine of a photo's two embeddings: mean {mean:.4}, minimum {min:.4}");
    }
    println!(
        "{:.2} % of {} decisions differ; {:.2} % are identity switches",
        100.0 * c.disagreement_rate,
        c.decisions,
        100.0 * c.identity_switch_rate
    );
}

fn print_retrieval(r: &RetrievalResult) {
    print_ranks(&r.metrics, &r.intervals);
    let (recall, intervals) = (&r.photo_recall, &r.photo_recall_intervals);
    for (name, value, interval) in [
        (
            "Recall@1 over photos",
            recall.photo_recall_at_1,
            intervals.photo_recall_at_1,
        ),
        (
            "Recall@5 over photos",
            recall.photo_recall_at_5,
            intervals.photo_recall_at_5,
        ),
        (
            "Recall@10 over photos",
            recall.photo_recall_at_10,
            intervals.photo_recall_at_10,
        ),
    ] {
        print_value(name, value, interval);
    }
    print_value("MAP@R", r.map_at_r, r.map_at_r_interval);
    if let Some(nmi) = r.nmi {
        print_value("NMI", nmi, None);
    }
    for group in &r.by_other_photos {
        print_group(
            &format!("{} in the gallery", group.other_photos),
            &group.metrics,
        );
    }
    for group in &r.encounters {
        print_group(
            &format!("encounters of {} photos", group.photos),
            &group.metrics,
        );
    }
    println!(
        "{} queries, {} photos of {} whales enrolled",
        r.metrics.queries, r.enrolled, r.whales
    );
}

fn print_ranks(metrics: &RankMetrics, intervals: &RankIntervals) {
    print_value("R@1", metrics.recall_at_1, intervals.recall_at_1);
    print_value("R@5", metrics.recall_at_5, intervals.recall_at_5);
    print_value("R@10", metrics.recall_at_10, intervals.recall_at_10);
    print_value("MAP@5", metrics.map_at_5, intervals.map_at_5);
}

fn print_group(name: &str, metrics: &RankMetrics) {
    println!(
        "  {name}: R@1 {:.3}, R@5 {:.3}, MAP@5 {:.3} ({} queries)",
        metrics.recall_at_1, metrics.recall_at_5, metrics.map_at_5, metrics.queries
    );
}

fn print_value(name: &str, value: f64, interval: Option<Interval>) {
    println!("{name:<6} {value:.3}{}", in_parentheses(interval));
}

fn print_metric(name: &str, metric: &Metric) {
    let interval = in_parentheses(metric.interval);
    println!("{name:<40} {:.3}{interval}", metric.value);
}

fn in_parentheses(interval: Option<Interval>) -> String {
    interval
        .map(|i| format!("  ({:.3}-{:.3})", i.low, i.high))
        .unwrap_or_default()
}

fn print_open_set(o: &OpenSetResult) {
    println!(
        "{} trials, {} whales enrolled; on average {:.0} known and {:.0} new photos",
        o.trials, o.enrolled_whales, o.known_queries, o.new_queries
    );
    print_metric("AUROC, known against new", &o.auroc);
    print_metric("area under OSCR", &o.oscr_area);
    print_metric("TPIR at 5 % FMR", &o.tpir_at_5_percent_fmr);
    print_metric("MAP@5 with new_whale", &o.map_at_5_with_new_whale);
    println!(
        "{:<40} {:.3}",
        "  new_whale threshold", o.new_whale_threshold
    );
    for (name, error) in [
        (
            "expected calibration error, as shipped",
            o.expected_calibration_error_as_shipped,
        ),
        (
            "  told the trials' share of new whales",
            o.expected_calibration_error_as_shipped_at_prior_of_trials,
        ),
        (
            "  of a logistic one fitted here",
            Some(o.expected_calibration_error),
        ),
        (
            "  of an isotonic one fitted here",
            Some(o.expected_calibration_error_isotonic),
        ),
        (
            "  of the score itself",
            Some(o.expected_calibration_error_of_score),
        ),
    ] {
        if let Some(error) = error {
            println!("{name:<40} {error:.3}");
        }
    }
    for (name, rule) in [
        ("bundle's rule", &o.rule_of_bundle),
        ("rule fitted by enrolment", &o.rule_of_enrolment),
    ] {
        if let Some(rule) = rule {
            print_rule(name, rule);
        }
    }
    for encounters in &o.encounters {
        print_encounters(encounters);
    }
    println!("cost of a wrong name | threshold | known: right name, wrong name | new: named");
    for c in &o.costs {
        println!(
            "{:>20} | {:>9.3} | {:>17.3}, {:>10.3} | {:>10.3}",
            c.wrong_name_cost,
            c.threshold,
            c.true_identification_rate,
            c.misidentification_rate,
            c.false_match_rate
        );
    }
}

fn print_encounters(e: &EncounterOpenSet) {
    println!(
        "encounters of {} photos: on average {:.0} known and {:.0} new",
        e.photos, e.known_queries, e.new_queries
    );
    print_metric("  AUROC, known against new", &e.auroc);
    print_metric("  TPIR at 5 % FMR", &e.tpir_at_5_percent_fmr);
    for (name, error) in [
        (
            "  expected calibration error, as shipped",
            e.expected_calibration_error_as_shipped,
        ),
        (
            "    told the trials' share of new whales",
            e.expected_calibration_error_as_shipped_at_prior_of_trials,
        ),
        (
            "    of a logistic one fitted here",
            Some(e.expected_calibration_error),
        ),
    ] {
        if let Some(error) = error {
            println!("{name:<40} {error:.3}");
        }
    }
    for (name, rule) in [
        ("  bundle's rule", &e.rule_of_bundle),
        ("  rule fitted by enrolment", &e.rule_of_enrolment),
    ] {
        if let Some(rule) = rule {
            print_rule(name, rule);
        }
    }
}

fn print_rule(name: &str, r: &RuleMetrics) {
    println!(
        "{name}: known from {:.3}, new below {:.3}",
        r.known_at, r.new_below
    );
    println!(
        "  known: {:.3} right name, {:.3} wrong name, {:.3} review, {:.3} called new",
        r.true_identification_rate, r.misidentification_rate, r.known_review_rate, r.false_new_rate
    );
    println!(
        "  new:   {:.3} called new, {:.3} review, {:.3} given a name",
        r.true_new_rate, r.new_review_rate, r.false_match_rate
    );
    print_metric("  BAKS", &r.baks);
    print_metric("  BAUS", &r.baus);
}
