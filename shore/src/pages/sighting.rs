//! One sighting beside its candidates.

use super::error::{PageError, page as render};
use super::{Pages, wording};
use crate::store::{Query, StoredSighting};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

struct Candidate {
    whale: String,
    score: String,
    fill: u32,
    photo: String,
    /// Where the photo is served, if it is.
    address: Option<String>,
}

struct Fact {
    name: &'static str,
    value: String,
}

/// A sighting of the same encounter.
struct Other {
    id: String,
    started: String,
    headline: String,
    /// Whether it is the one that the page shows.
    shown: bool,
}

/// Sightings of one encounter that are listed, at most.
const MOST_OTHERS: u64 = 50;

#[derive(Template)]
#[template(path = "sighting.html")]
struct SightingPage<'a> {
    id: String,
    verdict: &'static str,
    headline: String,
    closest: String,
    /// How sure the first candidate is, if the boat said so.
    chance: Option<String>,
    started: String,
    boat: String,
    width: u32,
    height: u32,
    no_picture: Option<&'static str>,
    /// The first of the candidates, where its photo can be shown large under the picture.
    best: Option<&'a Candidate>,
    candidates: &'a [Candidate],
    photos: bool,
    /// All sightings of the encounter, oldest first; none where there is only this one.
    same: Vec<Other>,
    facts: Vec<Fact>,
}

/// `GET /sightings/{id}`
pub(super) async fn page(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id: Uuid = id.parse().map_err(|_| PageError::NotFound)?;
    let stored = pages
        .ask(move |s| s.sighting(id))
        .await?
        .ok_or(PageError::NotFound)?;
    let s = &stored.sighting;
    let same = same_encounter(&pages, &stored).await?;
    let candidates: Vec<Candidate> = s
        .candidates
        .iter()
        .map(|c| Candidate {
            whale: c.whale.clone(),
            score: wording::score(c.score),
            fill: wording::fill(c.score),
            photo: c.photo.clone(),
            address: pages.photos.as_ref().and_then(|p| p.address(&c.photo)),
        })
        .collect();
    render(&SightingPage {
        id: s.id.to_string(),
        verdict: wording::kind(&s.verdict).as_str(),
        headline: wording::headline(&stored),
        closest: wording::closest(&stored),
        chance: s.chance.map(wording::chance),
        started: wording::time(s.started),
        boat: s.boat.to_string(),
        width: s.picture.width,
        height: s.picture.height,
        no_picture: wording::no_picture(stored.picture),
        best: candidates.first().filter(|c| c.address.is_some()),
        candidates: &candidates,
        photos: pages.photos.is_some(),
        same,
        facts: facts(&stored),
    })
}

async fn same_encounter(pages: &Pages, stored: &StoredSighting) -> Result<Vec<Other>, PageError> {
    let id = stored.sighting.id;
    let Some(footage) = &stored.sighting.footage else {
        return Ok(vec![]);
    };
    let query = Query {
        boat: Some(stored.sighting.boat.clone()),
        encounter: Some(footage.encounter),
        limit: MOST_OTHERS,
        ..Query::default()
    };
    let found = pages.ask(move |s| s.sightings(&query)).await?.sightings;
    if found.len() < 2 {
        return Ok(vec![]);
    }
    let other = |o: &StoredSighting| Other {
        id: o.sighting.id.to_string(),
        started: wording::time(o.sighting.started),
        headline: wording::headline(o),
        shown: o.sighting.id == id,
    };
    Ok(found.iter().rev().map(other).collect())
}

fn facts(stored: &StoredSighting) -> Vec<Fact> {
    let s = &stored.sighting;
    let (r, p) = (&s.region, &s.picture);
    let fact = |name, value| Fact { name, value };
    let mut facts = vec![
        fact("Began", format!("{} UTC", wording::time(s.started))),
        fact("Ended", format!("{} UTC", wording::time(s.ended))),
        fact(
            "Lasted",
            format!(
                "{}, {} frames with the fluke",
                wording::seconds(s.started, s.ended),
                s.frames
            ),
        ),
        fact("Whose time", wording::time_basis(s.time)),
        fact("Position", wording::position(s.position)),
        fact("Boat and camera", format!("{}, {}", s.boat, s.camera)),
        fact("Number on this boat", s.sequence.to_string()),
        fact(
            "Received on shore",
            format!("{} UTC", wording::time(stored.received)),
        ),
        fact(
            "Picture",
            format!(
                "{} x {} pixels, {}",
                p.width,
                p.height,
                wording::size(u64::from(p.bytes))
            ),
        ),
        fact(
            "Fluke in the frame",
            format!(
                "{} x {} pixels at ({}, {})",
                r.width(),
                r.height(),
                r.x0,
                r.y0
            ),
        ),
        fact("Bundle", s.bundle.clone()),
        fact("Engine", s.engine.clone()),
        fact("Id", s.id.to_string()),
    ];
    if let Some(f) = &s.footage {
        facts.extend([
            fact("Encounter", f.encounter.to_string()),
            fact("Crops matched", wording::crops(f)),
            fact("Picture's quality", wording::quality(f)),
            fact("Detector", wording::detector(f.detector)),
            fact("Configuration", f.config.to_string()),
        ]);
    }
    facts
}
