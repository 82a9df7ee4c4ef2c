//! The page of a measurement: one HTML file with its styles, curves and pictures in it, that needs neither network nor script.

mod map;
mod open_set;
mod over_time;
mod pictures;
mod plot;
mod queries;
mod retrieval;
mod run;

use super::bootstrap::Interval;
use super::command::Findings;
use super::labelled::LabelledEmbeddings;
use crate::dataset::{Dataset, LabelledPhoto};
use crate::files::write_atomically;
use crate::page::escape;
use anyhow::Context;
use flukewatch_common::bundle::Bundle;
use pictures::Pictures;
use std::fmt::Write;
use std::path::Path;

/// What the page shows.
pub struct Report<'a> {
    /// The bundle that was measured.
    pub bundle: &'a Bundle,
    /// The labelled photos, in words.
    pub data: &'a str,
    /// The photos, in the order of `photos`.
    pub dataset: &'a Dataset,
    /// Their embeddings.
    pub photos: &'a LabelledEmbeddings,
    /// What was found.
    pub found: &'a Findings,
    /// The folder of the run that trained the model, for its learning curves.
    pub run: Option<&'a Path>,
    /// What the map of embeddings is drawn from.
    pub seed: u64,
}

impl Report<'_> {
    fn photo(&self, at: usize) -> &LabelledPhoto {
        &self.dataset.photos[at]
    }

    fn whale(&self, whale: usize) -> &str {
        &self.photos.whales()[whale]
    }
}

const STYLE: &str = include_str!("report/report.css");

/// Writes the page.
///
/// # Errors
/// When the run's files cannot be read or the page cannot be written. A photo that cannot be shown is replaced by its name.
pub fn write(path: &Path, report: &Report<'_>) -> anyhow::Result<()> {
    let page = page(report)?;
    write_atomically(path, page.as_bytes()).with_context(|| path.display().to_string())
}

fn page(report: &Report<'_>) -> anyhow::Result<String> {
    let found = report.found;
    let name = &report.bundle.manifest.name;
    let mut pictures = Pictures::default();
    let mut body = header(report);
    if let Some(r) = &found.retrieval {
        body += &retrieval::section(r);
    }
    if let Some(o) = &found.open_set {
        body += &open_set::section(o);
    }
    if let Some(t) = &found.time {
        body += &over_time::time(t);
    }
    if let Some(e) = &found.encounter {
        body += &over_time::encounters(e);
    }
    if let Some(r) = &found.retrieval {
        body += &queries::confused(report, &r.looks, &mut pictures);
        body += &queries::worst_and_best(report, &r.looks, &mut pictures);
    }
    body += &map::section(report);
    if let Some(folder) = report.run {
        body += &run::section(folder)?;
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{} on {}</title><style>{STYLE}</style></head>\n<body>{body}</main></body></html>\n",
        escape(name),
        escape(report.data)
    ))
}

fn header(report: &Report<'_>) -> String {
    let manifest = &report.bundle.manifest;
    let mut text = format!(
        "<header><p class=\"brand\">Flukewatch</p><h1>How well {} tells whales apart</h1>\
         <p>{} photos of {} whales in {} · {}, {:?} · trained on {} · bundle {}</p></header>\n<main>",
        escape(&manifest.name),
        report.photos.len(),
        report.photos.whales().len(),
        escape(report.data),
        escape(&manifest.model.architecture),
        manifest.model.precision,
        escape(&manifest.model.trained_on),
        escape(report.bundle.id()),
    );
    let mut cards = String::new();
    if let Some(r) = &report.found.retrieval {
        cards += &card(
            "right at the first place",
            r.figures.recall_at_1,
            r.intervals.recall_at_1,
            "R@1, whale in the gallery",
        );
        cards += &card(
            "right among the first five",
            r.figures.recall_at_5,
            r.intervals.recall_at_5,
            "R@5, whale in the gallery",
        );
        cards += &card(
            "MAP@5",
            r.figures.map_at_5,
            r.intervals.map_at_5,
            "1 for first place, 1/2 for second, ...",
        );
    }
    if let Some(o) = &report.found.open_set {
        cards += &card(
            "AUROC",
            o.auroc.value,
            o.auroc.interval,
            "a known whale scores above a new one",
        );
        cards += &card(
            "named at 5 % false names",
            o.named_at_5_percent.value,
            o.named_at_5_percent.interval,
            "known photos rightly named where 5 % of new ones get a name",
        );
    }
    if let Some(t) = &report.found.time {
        cards += &card(
            "right, met again later",
            t.figures.recall_at_1,
            t.intervals.recall_at_1,
            "R@1 against earlier days only",
        );
    }
    if let Some(e) = &report.found.encounter {
        cards += &card(
            "right, whole encounter",
            e.by_encounter.recall_at_1,
            e.by_encounter_intervals.recall_at_1,
            "R@1 across encounters, photos of one averaged",
        );
    }
    let _ = writeln!(
        text,
        "<div class=\"cards\">{cards}</div>\
         <p class=\"note\">In brackets: 95 % intervals, drawn anew by whale. Whales that the model was trained on make the figures \
         too good. This page holds small copies of photos of the data set, on the data set's terms.</p>"
    );
    text
}

fn card(title: &str, value: f64, interval: Option<Interval>, note: &str) -> String {
    format!(
        "<div class=\"card\"><h2>{}</h2><p class=\"figure\">{}</p><p class=\"interval\">{}</p><p>{}</p></div>",
        escape(title),
        number(value),
        between(interval),
        escape(note)
    )
}

/// Three decimals; a dash for what is no number.
fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.3}")
    } else {
        "–".into()
    }
}

fn between(interval: Option<Interval>) -> String {
    interval
        .map(|i| format!("({:.3} – {:.3})", i.low, i.high))
        .unwrap_or_default()
}

/// A share in percent.
fn percent(value: f64) -> String {
    if value.is_finite() {
        format!("{:.1} %", value * 100.0)
    } else {
        "–".into()
    }
}

/// A table; cells are HTML already.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::from("<table><thead><tr>");
    for cell in head {
        let _ = write!(text, "<th>{}</th>", escape(cell));
    }
    text += "</tr></thead><tbody>";
    for row in rows {
        text += "<tr>";
        for cell in row {
            let _ = write!(text, "<td>{cell}</td>");
        }
        text += "</tr>";
    }
    text + "</tbody></table>"
}

#[cfg(test)]
mod tests;
