//! Confused whales, and the worst and the best answers, with pictures.

use crate::protocols::retrieval::QueryResult;
use crate::report::data_url;
use askama::Template;
use flukewatch_dataset::Dataset;
use std::collections::{BTreeMap, BTreeSet};

const MAX_PAIRS: usize = 8;
const MAX_QUERIES: usize = 8;

/// Small copies of photos, each made once.
pub(super) struct Pictures<'a> {
    dataset: &'a Dataset,
    urls: BTreeMap<usize, Option<String>>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(dataset: &'a Dataset) -> Self {
        Self {
            dataset,
            urls: BTreeMap::new(),
        }
    }

    /// Shows a photo; the text under it is its name unless another is given.
    fn show(&mut self, photo: usize, class: &'static str, text: Option<String>) -> Picture<'a> {
        let file = &self.dataset.photos[photo];
        let url = self
            .urls
            .entry(photo)
            .or_insert_with(|| data_url::fluke(file));
        Picture {
            class,
            url: url.clone(),
            name: &file.name,
            whale: file.whale.as_deref().unwrap_or_default(),
            text: text.unwrap_or_else(|| file.name.clone()),
        }
    }
}

#[derive(Template)]
#[template(path = "evaluation/picture.html")]
struct Picture<'a> {
    /// `searched`, `right`, `missed` or empty.
    class: &'static str,
    url: Option<String>,
    name: &'a str,
    whale: &'a str,
    text: String,
}

/// Pairs of whales that are most often confused.
#[derive(Template)]
#[template(path = "evaluation/confused.html")]
pub(super) struct ConfusedSection<'a> {
    pairs: Vec<ShownPair<'a>>,
}

struct ShownPair<'a> {
    pictures: [Picture<'a>; 2],
    times: String,
    score: String,
}

struct ConfusedPair {
    times: usize,
    best: f32,
    photos: [usize; 2],
}

impl<'a> ConfusedSection<'a> {
    /// `None` if no query has another whale first.
    pub(super) fn new(queries: &[QueryResult], pictures: &mut Pictures<'a>) -> Option<Self> {
        let mut pairs: BTreeMap<(usize, usize), ConfusedPair> = BTreeMap::new();
        for query in queries.iter().filter(|q| q.rank > 1) {
            let Some(first) = query.top.first() else {
                continue;
            };
            let key = (query.whale.min(first.whale), query.whale.max(first.whale));
            let pair = pairs.entry(key).or_insert(ConfusedPair {
                times: 0,
                best: f32::NEG_INFINITY,
                photos: [query.photo, first.photo],
            });
            pair.times += 1;
            if first.score > pair.best {
                pair.best = first.score;
                pair.photos = [query.photo, first.photo];
            }
        }
        let mut pairs: Vec<ConfusedPair> = pairs.into_values().collect();
        pairs.sort_by(|a, b| b.times.cmp(&a.times).then(b.best.total_cmp(&a.best)));
        pairs.truncate(MAX_PAIRS);
        (!pairs.is_empty()).then(|| Self {
            pairs: pairs
                .into_iter()
                .map(|pair| ShownPair {
                    pictures: pair.photos.map(|photo| pictures.show(photo, "", None)),
                    times: match pair.times {
                        1 => "once".into(),
                        times => format!("{times} times"),
                    },
                    score: format!("{:.3}", pair.best),
                })
                .collect(),
        })
    }
}

/// Queries with their candidates.
#[derive(Template)]
#[template(path = "evaluation/queries.html")]
pub(super) struct QueriesSection<'a> {
    title: &'static str,
    text: &'static str,
    rows: Vec<Vec<Picture<'a>>>,
}

/// The queries whose right whale ranks lowest, and those whose right whale leads most clearly.
pub(super) fn worst_and_best<'a>(
    queries: &[QueryResult],
    pictures: &mut Pictures<'a>,
) -> Vec<QueriesSection<'a>> {
    let margin = |query: &QueryResult| match query.top[..] {
        [first, second, ..] => first.score - second.score,
        _ => 0.0,
    };
    let mut worst: Vec<&QueryResult> = queries.iter().filter(|q| q.rank > 1).collect();
    worst.sort_by(|a, b| b.rank.cmp(&a.rank).then(margin(b).total_cmp(&margin(a))));
    let mut best: Vec<&QueryResult> = queries.iter().filter(|q| q.rank == 1).collect();
    best.sort_by(|a, b| margin(b).total_cmp(&margin(a)));
    let mut section = |title, text, queries: Vec<&QueryResult>| {
        // One photo per whale: a pair that fails or matches usually does so both ways.
        let mut shown = BTreeSet::new();
        QueriesSection {
            title,
            text,
            rows: queries
                .into_iter()
                .filter(|query| shown.insert(query.whale))
                .take(MAX_QUERIES)
                .map(|query| row(query, pictures))
                .collect(),
        }
    };
    let mut sections = vec![
        section(
            "Worst answers",
            "The query (blue), the first five whales by their most similar photo, and the right whale \
             (green; dashed if it is not among the five). Bad boxes, bad photos and wrong labels show \
             here.",
            worst,
        ),
        section(
            "Clearest answers",
            "The right whale first (green), with the largest margin to the second.",
            best,
        ),
    ];
    sections.retain(|section| !section.rows.is_empty());
    sections
}

fn row<'a>(query: &QueryResult, pictures: &mut Pictures<'a>) -> Vec<Picture<'a>> {
    let mut row = vec![pictures.show(query.photo, "searched", Some("query".into()))];
    for candidate in &query.top {
        let class = if candidate.whale == query.whale {
            "right"
        } else {
            ""
        };
        row.push(pictures.show(
            candidate.photo,
            class,
            Some(format!("{:.3}", candidate.score)),
        ));
    }
    if query.rank > query.top.len() {
        let text = format!("{:.3}, rank {}", query.own.score, query.rank);
        row.push(pictures.show(query.own.photo, "missed", Some(text)));
    }
    row
}
