//! What was found, in lines on a terminal.

use super::beside::Beside;
use super::bootstrap::Interval;
use super::command::Findings;
use super::figures::{RankFigures, RankIntervals};
use super::{open_set, retrieval};

/// Prints what the protocols found, each under its title where there are several.
pub fn print(found: &Findings) {
    let many = [
        found.retrieval.is_some(),
        found.open_set.is_some(),
        found.time.is_some(),
        found.encounter.is_some(),
    ];
    let titled = many.into_iter().filter(|x| *x).count() > 1;
    let title = |text: &str| {
        if titled {
            println!("\n{text}");
        }
    };
    if let Some(r) = &found.retrieval {
        title("Retrieval, leave one out");
        print_retrieval(r);
    }
    if let Some(o) = &found.open_set {
        title("Open set");
        print_open_set(o);
    }
    if let Some(t) = &found.time {
        title("Forward in time");
        print_ranks(&t.figures, &t.intervals);
        for group in &t.by_gap {
            print_group(&format!("last seen {} before", group.gap), &group.figures);
        }
        println!(
            "{} queries, {} photos without a date left out",
            t.figures.queries, t.left_out
        );
    }
    if let Some(e) = &found.encounter {
        title("Across encounters");
        println!("photo by photo ({} queries)", e.by_photo.queries);
        print_ranks(&e.by_photo, &e.by_photo_intervals);
        println!("each encounter as a whole ({})", e.by_encounter.queries);
        print_ranks(&e.by_encounter, &e.by_encounter_intervals);
        println!("{} photos without an encounter left out", e.left_out);
    }
    if let Some(b) = &found.beside {
        println!("\nBeside the other bundle");
        print_beside(b);
    }
}

fn print_beside(b: &Beside) {
    if let Some([ours, theirs]) = b.recall_at_1 {
        println!("R@1    {ours:.3}, the other's {theirs:.3}");
    }
    if let (Some(mean), Some(lowest)) = (b.mean_cosine, b.lowest_cosine) {
        println!(
            "cosine of a photo's two embeddings {mean:.4} on average, {lowest:.4} at the lowest"
        );
    }
    println!(
        "{:.2} % of {} decisions differ; {:.2} % name another whale",
        100.0 * b.flipped,
        b.decisions,
        100.0 * b.named_otherwise
    );
}

fn print_retrieval(r: &retrieval::Retrieval) {
    print_ranks(&r.figures, &r.intervals);
    print_figure("MAP@R", r.map_at_r, r.map_at_r_interval);
    if let Some(nmi) = r.nmi {
        print_figure("NMI", nmi, None);
    }
    for group in &r.by_photos {
        print_group(
            &format!("{} in the gallery", group.photos_left),
            &group.figures,
        );
    }
    println!(
        "{} queries, {} photos of {} whales enrolled",
        r.figures.queries, r.enrolled, r.whales
    );
}

fn print_ranks(f: &RankFigures, i: &RankIntervals) {
    print_figure("R@1", f.recall_at_1, i.recall_at_1);
    print_figure("R@5", f.recall_at_5, i.recall_at_5);
    print_figure("R@10", f.recall_at_10, i.recall_at_10);
    print_figure("MAP@5", f.map_at_5, i.map_at_5);
}

fn print_group(what: &str, f: &RankFigures) {
    println!(
        "  {what}: R@1 {:.3}, R@5 {:.3}, MAP@5 {:.3} ({} queries)",
        f.recall_at_1, f.recall_at_5, f.map_at_5, f.queries
    );
}

fn print_figure(name: &str, value: f64, interval: Option<Interval>) {
    let interval = interval.map(|i| format!("  ({:.3}-{:.3})", i.low, i.high));
    println!("{name:<6} {value:.3}{}", interval.unwrap_or_default());
}

fn print_open_set(o: &open_set::OpenSet) {
    println!(
        "{} draws, {} whales enrolled; on average {:.0} known and {:.0} new photos",
        o.draws, o.enrolled_whales, o.known_queries, o.new_queries
    );
    let figure = |name: &str, f: &open_set::Figure| {
        let interval = f
            .interval
            .map(|i| format!("  ({:.3}-{:.3})", i.low, i.high));
        println!("{name:<40} {:.3}{}", f.value, interval.unwrap_or_default());
    };
    figure("AUROC, known against new", &o.auroc);
    figure("area under OSCR", &o.oscr_area);
    figure(
        "known rightly named, 5 % of new named",
        &o.named_at_5_percent,
    );
    figure("MAP@5 with new_whale", &o.map_at_5_with_new);
    println!("{:<40} {:.3}", "  new_whale below", o.new_whale_at);
    println!(
        "{:<40} {:.3}",
        "calibration error of the chance (ECE)", o.calibration_error
    );
    for (name, error) in [
        ("  by an isotonic curve", Some(o.calibration_error_isotonic)),
        ("  by the bundle's curve", o.calibration_error_as_shipped),
        (
            "  the score taken for a chance",
            Some(o.calibration_error_of_scores),
        ),
    ] {
        if let Some(error) = error {
            println!("{name:<40} {error:.3}");
        }
    }
    for (name, rule) in [
        ("bundle's rule", &o.rule_as_shipped),
        ("rule set by enrolling", &o.rule_as_enrolled),
    ] {
        let Some(r) = rule else { continue };
        println!(
            "{name}: known from {:.3}, new below {:.3}",
            r.known_at, r.new_below
        );
        println!(
            "  known: {:.3} named rightly, {:.3} wrongly, {:.3} for review, {:.3} called new",
            r.known_named_rightly, r.known_named_wrongly, r.known_for_review, r.known_called_new
        );
        println!(
            "  new:   {:.3} called new, {:.3} for review, {:.3} given a name",
            r.new_called_new, r.new_for_review, r.new_named
        );
        figure("  BAKS", &r.baks);
        figure("  BAUS", &r.baus);
    }
    println!("a wrong name costs | name from | known named rightly, wrongly | new named");
    for c in &o.costs {
        println!(
            "{:>18} | {:>9.3} | {:>19.3}, {:>7.3} | {:>9.3}",
            c.wrong_name_costs,
            c.threshold,
            c.known_named_rightly,
            c.known_named_wrongly,
            c.new_named
        );
    }
}
