//! One sighting beside its candidates.

use super::error::{PageError, PageResult, render};
use super::files::RequestedFile;
use super::format;
use super::matching_regions::{ComparedPhoto, MatchingRegionsSection};
use crate::request::{AppState, RequestError};
use crate::store::{PictureState, Query, StoredSighting, VerdictKind};
use askama::Template;
use axum::extract::{Path, State};
use uuid::Uuid;

const MAX_ENCOUNTER_SIGHTINGS: u64 = 50;

struct Candidate {
    whale: String,
    score: String,
    bar_percent: u32,
    photo: String,
    /// The URL path of the photo, if shore has it.
    url_path: Option<String>,
}

struct Detail {
    name: &'static str,
    value: String,
}

/// A sighting of the same encounter.
struct Related {
    id: String,
    started: String,
    camera: String,
    headline: String,
    /// Whether it is the sighting of this page.
    current: bool,
}

/// A revision of the sighting that a higher one has replaced.
struct EarlierRevision {
    revision: u32,
    received: String,
    started: String,
    time_source: String,
    verdict: String,
}

#[derive(Template)]
#[template(path = "sighting.html")]
struct SightingPage<'a> {
    id: String,
    verdict: &'static str,
    headline: String,
    /// The best candidate, or why there is none.
    remark: String,
    /// The probability that the best candidate is right.
    probability: Option<String>,
    started: String,
    boat: String,
    width: u32,
    height: u32,
    picture_problem: Option<&'static str>,
    /// The best candidate, if its photo can be shown.
    best: Option<&'a Candidate>,
    candidates: &'a [Candidate],
    has_photos: bool,
    matching_regions: Option<MatchingRegionsSection<'a>>,
    /// All sightings of the encounter, oldest first; empty if there is only this one.
    encounter: Vec<Related>,
    /// Lowest first; empty if the sighting was never revised.
    earlier_revisions: Vec<EarlierRevision>,
    /// The latest request first.
    files: Vec<RequestedFile>,
    details: Vec<Detail>,
}

pub(super) async fn page(State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let id: Uuid = id.parse().map_err(|_| RequestError::NotFound)?;
    let (stored, earlier, files) = state
        .with_store(move |s| {
            let requests = s.file_requests(Some(id))?;
            let files = requests.iter().map(|request| RequestedFile::of(request, s));
            let files = files.collect::<Result<Vec<_>, _>>()?;
            Ok((s.sighting(id)?, s.earlier_revisions(id)?, files))
        })
        .await?;
    let stored = stored.ok_or(RequestError::NotFound)?;
    let s = &stored.sighting;
    let encounter = encounter_sightings(&state, &stored).await?;
    let candidates: Vec<Candidate> = s
        .candidates
        .iter()
        .map(|c| Candidate {
            whale: c.whale.clone(),
            score: format::score(c.score),
            bar_percent: format::bar_percent(c.score),
            photo: c.photo.clone(),
            url_path: state.photos.as_ref().and_then(|p| p.url_path(&c.photo)),
        })
        .collect();
    let picture_path = format!("/pictures/{id}.jpg");
    let has_picture = stored.picture == PictureState::Stored;
    let regions = s.regions.as_ref().filter(|_| has_picture);
    render(&SightingPage {
        id: s.id.to_string(),
        verdict: VerdictKind::of(&s.verdict).as_str(),
        headline: format::headline(&s.verdict),
        remark: format::remark(s),
        probability: s.probability.map(format::probability),
        started: format::time(s.started),
        boat: s.boat.to_string(),
        width: s.picture.width,
        height: s.picture.height,
        picture_problem: format::picture_problem(stored.picture),
        best: candidates.first().filter(|c| c.url_path.is_some()),
        candidates: &candidates,
        has_photos: state.photos.is_some(),
        matching_regions: regions.and_then(|regions| {
            let compared: Vec<ComparedPhoto<'_>> = candidates.iter().map(compared).collect();
            MatchingRegionsSection::new(regions, &picture_path, &compared)
        }),
        encounter,
        earlier_revisions: earlier.iter().map(EarlierRevision::from).collect(),
        files,
        details: details(&stored),
    })
}

fn compared(candidate: &Candidate) -> ComparedPhoto<'_> {
    ComparedPhoto {
        whale: &candidate.whale,
        score: &candidate.score,
        photo: &candidate.photo,
        url_path: candidate.url_path.as_deref(),
    }
}

impl From<&StoredSighting> for EarlierRevision {
    fn from(stored: &StoredSighting) -> Self {
        let s = &stored.sighting;
        Self {
            revision: s.revision,
            received: format::time(stored.received),
            started: format::time(s.started),
            time_source: format::time_basis(s.time),
            verdict: format::verdict(&s.verdict),
        }
    }
}

async fn encounter_sightings(
    state: &AppState,
    stored: &StoredSighting,
) -> Result<Vec<Related>, PageError> {
    let id = stored.sighting.id;
    let Some(footage) = &stored.sighting.footage else {
        return Ok(vec![]);
    };
    let query = Query {
        boat: Some(stored.sighting.boat.clone()),
        encounter: Some(footage.encounter),
        limit: MAX_ENCOUNTER_SIGHTINGS,
        ..Query::default()
    };
    let listing = state.with_store(move |s| s.sightings(&query)).await?;
    if listing.sightings.len() < 2 {
        return Ok(vec![]);
    }
    let related = |StoredSighting { sighting, .. }: &StoredSighting| Related {
        id: sighting.id.to_string(),
        started: format::time(sighting.started),
        camera: sighting.camera.clone(),
        headline: format::headline(&sighting.verdict),
        current: sighting.id == id,
    };
    Ok(listing.sightings.iter().rev().map(related).collect())
}

fn details(stored: &StoredSighting) -> Vec<Detail> {
    let s = &stored.sighting;
    let (r, p) = (&s.region, &s.picture);
    let duration = format::duration(s.started, s.ended);
    let detail = |name, value| Detail { name, value };
    let mut details = vec![
        detail("Start", format!("{} UTC", format::time(s.started))),
        detail("End", format!("{} UTC", format::time(s.ended))),
        detail(
            "Duration",
            match s.frames {
                1 => format!("{duration}, 1 frame with the fluke"),
                frames => format!("{duration}, {frames} frames with the fluke"),
            },
        ),
        detail("Time source", format::time_basis(s.time)),
        detail("Position", format::position(s.position)),
        detail("Boat and camera", format!("{}, {}", s.boat, s.camera)),
        detail("Sequence number", s.sequence.to_string()),
        detail("Revision", s.revision.to_string()),
        detail("Received", format!("{} UTC", format::time(stored.received))),
        detail(
            "Picture",
            format!(
                "{} × {} pixels, {}",
                p.width,
                p.height,
                format::size(u64::from(p.bytes))
            ),
        ),
        detail(
            "Fluke in the frame",
            format!(
                "{} × {} pixels at ({}, {})",
                r.width(),
                r.height(),
                r.x0,
                r.y0
            ),
        ),
        detail("Bundle", format::name_or_none(&s.bundle)),
        detail("Engine", format::name_or_none(&s.engine)),
        detail("Sighting ID", s.id.to_string()),
    ];
    if let Some(relative) = s.relative_position {
        details.push(detail(
            "Whale from the boat",
            format::relative_position(relative),
        ));
    }
    if let Some(footage) = &s.footage {
        details.extend([
            detail("Encounter ID", footage.encounter.to_string()),
            detail("Matched crops", format::crops(footage)),
            detail("Picture quality", format::quality(footage)),
            detail("Detector confidence", format::detector(footage.detector)),
            detail("Configuration ID", footage.config.to_string()),
        ]);
    }
    details
}
