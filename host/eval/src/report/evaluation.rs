//! The report of an evaluation.

mod map;
mod open_set;
mod queries;
mod ranks;
mod regions;
mod retrieval;
mod run;

use crate::gallery::labelled::LabelledEmbeddings;
use crate::metrics::bootstrap::Interval;
use crate::report::format::{interval, number};
use crate::results::EvaluationResults;
use crate::training_overlap::TrainingOverlap;
use anyhow::Context;
use askama::Template;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::Dataset;
use map::MapSection;
use open_set::OpenSetSection;
use queries::{ConfusedSection, QueriesSection};
use ranks::{EncounterSection, TimeSection};
use regions::{RegionSources, RegionsSection};
use retrieval::RetrievalSection;
use run::RunSection;
use std::path::Path;

/// What computed the embeddings.
#[derive(Clone, Copy, Debug)]
pub enum EvaluatedModel<'a> {
    /// A bundle.
    Bundle(&'a Bundle),
    /// Something else, which wrote this file.
    File(&'a Path),
}

impl EvaluatedModel<'_> {
    fn name(self) -> String {
        match self {
            Self::Bundle(bundle) => bundle.manifest.name.clone(),
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }

    /// Architecture, precision, training data and id of a bundle.
    fn description(self, dimension: usize) -> String {
        match self {
            Self::Bundle(bundle) => {
                let model = &bundle.manifest.model;
                format!(
                    "{}, {:?} · trained on {} · bundle {}",
                    model.architecture,
                    model.precision,
                    model.trained_on,
                    bundle.id()
                )
            }
            Self::File(path) => {
                format!("embeddings of {dimension} numbers from {}", path.display())
            }
        }
    }
}

/// What the report shows.
pub struct EvaluationReport<'a> {
    /// What computed the embeddings.
    pub model: EvaluatedModel<'a>,
    /// Name of the labelled photos.
    pub data: &'a str,
    /// The photos, in the order of `photos`.
    pub dataset: &'a Dataset,
    /// Embeddings of the photos.
    pub photos: &'a LabelledEmbeddings,
    /// Results of the protocols.
    pub results: &'a EvaluationResults,
    /// Folder of the run that trained the model, for learning curves.
    pub run: Option<&'a Path>,
    /// Seed of the map of embeddings.
    pub seed: u64,
}

struct Card {
    title: &'static str,
    value: String,
    interval: String,
    note: &'static str,
}

#[derive(Template)]
#[template(path = "evaluation/page.html")]
struct Page<'a> {
    name: String,
    data: &'a str,
    photos: usize,
    whales: usize,
    description: String,
    /// Whether the model was trained on the photos, and what that means.
    training: String,
    is_misleading: bool,
    cards: Vec<Card>,
    retrieval: Option<RetrievalSection>,
    open_set: Option<OpenSetSection>,
    time: Option<TimeSection>,
    encounter: Option<EncounterSection>,
    confused: Option<ConfusedSection<'a>>,
    queries: Vec<QueriesSection<'a>>,
    regions: Option<RegionsSection<'a>>,
    map: Option<MapSection>,
    run: Option<RunSection>,
}

/// Writes the report as an HTML page.
///
/// # Errors
/// If the files of the run cannot be read or the report cannot be written. A photo that cannot be
/// read is replaced by its name.
pub fn write(path: &Path, report: &EvaluationReport<'_>) -> anyhow::Result<()> {
    let html = page(report)?.render()?;
    write_atomically(path, html.as_bytes()).with_context(|| path.display().to_string())
}

fn page<'a>(report: &EvaluationReport<'a>) -> anyhow::Result<Page<'a>> {
    let results = report.results;
    let retrieved = results.retrieval.as_ref();
    let mut pictures = queries::Pictures::new(report.dataset);
    let regions_of = |bundle: &'a Bundle| {
        let sources = RegionSources {
            dataset: report.dataset,
            photos: report.photos,
            preparation: &bundle.manifest.preparation,
        };
        RegionsSection::new(&retrieved?.queries, sources)
    };
    Ok(Page {
        name: report.model.name(),
        data: report.data,
        photos: report.photos.len(),
        whales: report.photos.whales().len(),
        description: report.model.description(report.photos.rows().ncols()),
        training: training(report.model, results.training_overlap.as_ref()),
        is_misleading: results
            .training_overlap
            .as_ref()
            .is_none_or(|overlap| !overlap.is_empty()),
        cards: cards(results),
        retrieval: retrieved.map(RetrievalSection::new),
        open_set: results.open_set.as_ref().map(OpenSetSection::new),
        time: results.time.as_ref().map(TimeSection::new),
        encounter: results.encounter.as_ref().map(EncounterSection::new),
        confused: retrieved.and_then(|r| ConfusedSection::new(&r.queries, &mut pictures)),
        queries: retrieved.map_or(vec![], |r| {
            queries::worst_and_best(&r.queries, &mut pictures)
        }),
        regions: match report.model {
            EvaluatedModel::Bundle(bundle) => regions_of(bundle),
            EvaluatedModel::File(_) => None,
        },
        map: MapSection::new(report.photos, report.seed),
        run: report.run.map(RunSection::read).transpose()?,
    })
}

fn training(model: EvaluatedModel<'_>, overlap: Option<&TrainingOverlap>) -> String {
    match overlap {
        None => format!(
            "It is unknown whether the model was trained on these photos: {} no hashes of its \
             training photos. If it was, the figures are too good.",
            match model {
                EvaluatedModel::Bundle(_) => "the bundle has",
                EvaluatedModel::File(_) => "embeddings without a bundle have",
            }
        ),
        Some(overlap) if overlap.is_empty() => {
            format!("The model was trained on {overlap}.")
        }
        Some(overlap) => format!(
            "The model was trained on {overlap}. The figures are too good: they say little about other whales."
        ),
    }
}

fn cards(results: &EvaluationResults) -> Vec<Card> {
    let mut cards = vec![];
    let mut add = |title, value, interval_of: Option<Interval>, note| {
        cards.push(Card {
            title,
            value: number(value),
            interval: interval(interval_of),
            note,
        });
    };
    if let Some(r) = &results.retrieval {
        let (metrics, intervals) = (&r.metrics, &r.intervals);
        add(
            "R@1",
            metrics.recall_at_1,
            intervals.recall_at_1,
            "the top-1 whale is right; the whale is in the gallery",
        );
        add(
            "R@5",
            metrics.recall_at_5,
            intervals.recall_at_5,
            "the right whale is among the first five",
        );
        add(
            "MAP@5",
            metrics.map_at_5,
            intervals.map_at_5,
            "1 for the first rank, 1/2 for the second, ...",
        );
    }
    if let Some(o) = &results.open_set {
        add(
            "AUROC",
            o.auroc.value,
            o.auroc.interval,
            "a known whale scores above a new one",
        );
        let tpir = &o.tpir_at_5_percent_fmr;
        add(
            "TPIR at 5 % FMR",
            tpir.value,
            tpir.interval,
            "known photos with the right name where 5 % of new ones get a name",
        );
    }
    if let Some(t) = &results.time {
        add(
            "R@1 forward in time",
            t.metrics.recall_at_1,
            t.intervals.recall_at_1,
            "against photos of earlier days only",
        );
    }
    if let Some(e) = &results.encounter {
        add(
            "R@1 of encounters",
            e.by_encounter.recall_at_1,
            e.by_encounter_intervals.recall_at_1,
            "across encounters, averaged over the photos of each",
        );
    }
    cards
}
