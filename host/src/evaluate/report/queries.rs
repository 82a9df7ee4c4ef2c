//! Pictures: whales that are taken for each other, and the worst and the best answers.

use super::Report;
use super::pictures::Pictures;
use crate::evaluate::retrieval::Look;
use crate::page::escape;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PAIRS: usize = 8;
const QUERIES: usize = 8;

/// The pairs of whales that are most often taken for each other, side by side.
pub fn confused(report: &Report<'_>, looks: &[Look], pictures: &mut Pictures) -> String {
    struct Pair {
        times: usize,
        best: f32,
        photos: (usize, usize),
    }
    let mut pairs: BTreeMap<(usize, usize), Pair> = BTreeMap::new();
    for look in looks.iter().filter(|l| l.rank > 1) {
        let Some(first) = look.top.first() else {
            continue;
        };
        let key = (look.whale.min(first.whale), look.whale.max(first.whale));
        let pair = pairs.entry(key).or_insert(Pair {
            times: 0,
            best: f32::NEG_INFINITY,
            photos: (look.photo, first.photo),
        });
        pair.times += 1;
        if first.score > pair.best {
            pair.best = first.score;
            pair.photos = (look.photo, first.photo);
        }
    }
    let mut pairs: Vec<Pair> = pairs.into_values().collect();
    pairs.sort_by(|a, b| b.times.cmp(&a.times).then(b.best.total_cmp(&a.best)));
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<section id=\"confused\"><h2>Whales taken for each other</h2><p>Pairs that stood first for each other's photos most often, by \
         the two photos that are most alike to the model. Some may be one whale under two names.</p><div class=\"pairs\">",
    );
    for pair in pairs.iter().take(PAIRS) {
        let times = if pair.times == 1 {
            "once".into()
        } else {
            format!("{} times", pair.times)
        };
        let sides: String = [pair.photos.0, pair.photos.1]
            .map(|p| photo(report, p, "", None, pictures))
            .concat();
        let _ = write!(
            text,
            "<div class=\"pair\"><div class=\"side\">{sides}</div><p>taken for each other {times}; these two at {:.3}</p></div>",
            pair.best
        );
    }
    text + "</div></section>\n"
}

/// The queries whose right whale came last, and those whose right whale led most clearly, with their first five.
pub fn worst_and_best(report: &Report<'_>, looks: &[Look], pictures: &mut Pictures) -> String {
    let lead = |look: &Look| match look.top[..] {
        [first, second, ..] => first.score - second.score,
        _ => 0.0,
    };
    let mut worst: Vec<&Look> = looks.iter().filter(|l| l.rank > 1).collect();
    worst.sort_by(|a, b| b.rank.cmp(&a.rank).then(lead(b).total_cmp(&lead(a))));
    let mut best: Vec<&Look> = looks.iter().filter(|l| l.rank == 1).collect();
    best.sort_by(|a, b| lead(b).total_cmp(&lead(a)));
    let mut section = |title: &str, says: &str, looks: Vec<&Look>| {
        // One photo of each whale: a pair that fails or fits does so both ways round.
        let mut shown = BTreeSet::new();
        let rows: String = looks
            .into_iter()
            .filter(|look| shown.insert(look.whale))
            .take(QUERIES)
            .map(|look| row(report, look, pictures))
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        format!("<section><h2>{title}</h2><p>{says}</p>{rows}</section>\n")
    };
    section(
        "The worst answers",
        "The photo looked up (blue), the five whales that stood first, by their most similar photo, and the right one (green; broken \
         where it was not among the five). A bad box, a bad photo or a wrong label shows here.",
        worst,
    ) + &section(
        "The clearest answers",
        "The right whale first (green), with the longest lead over the second.",
        best,
    )
}

fn row(report: &Report<'_>, look: &Look, pictures: &mut Pictures) -> String {
    let mut text = String::from("<div class=\"query\">");
    text += &photo(
        report,
        look.photo,
        "asked",
        Some("looked up".into()),
        pictures,
    );
    for candidate in &look.top {
        let class = if candidate.whale == look.whale {
            "right"
        } else {
            ""
        };
        let score = format!("{:.3}", candidate.score);
        text += &photo(report, candidate.photo, class, Some(score), pictures);
    }
    if look.rank > look.top.len() {
        let place = format!("{:.3}, at place {}", look.own.score, look.rank);
        text += &photo(report, look.own.photo, "missed", Some(place), pictures);
    }
    text + "</div>"
}

fn photo(
    report: &Report<'_>,
    at: usize,
    class: &str,
    says: Option<String>,
    pictures: &mut Pictures,
) -> String {
    let whale = report
        .photos
        .whale_of(at)
        .map(|w| report.whale(w))
        .unwrap_or_default();
    format!(
        "<div class=\"photo {class}\"><div class=\"picture\">{}</div><b>{}</b>{}</div>",
        pictures.html(report.photo(at)),
        escape(whale),
        escape(&says.unwrap_or_else(|| report.photo(at).name.clone()))
    )
}
