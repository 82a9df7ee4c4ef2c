//! The list of sightings.

use super::error::{PageError, page as render};
use super::{Pages, wording};
use crate::store::{Listing, Query, StoredSighting, VerdictKind};
use askama::Template;
use axum::extract::{Query as Asked, State};
use axum::response::Response;
use flukewatch_common::sighting::BoatId;
use serde::Deserialize;

/// Sightings on one page.
const PER_PAGE: u64 = 24;

/// What the address says after `?`. An empty word stands for all, as the form sends it.
#[derive(Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    boat: String,
    #[serde(default)]
    verdict: String,
    page: Option<u64>,
}

struct Card {
    id: String,
    verdict: &'static str,
    headline: String,
    closest: String,
    score: String,
    fill: u32,
    started: String,
    boat: String,
    sequence: u64,
    /// Whether it is a return in an encounter that an earlier sighting began.
    returned: bool,
    no_picture: Option<&'static str>,
}

impl Card {
    fn of(stored: &StoredSighting) -> Self {
        let s = &stored.sighting;
        let best = s.candidates.first();
        Self {
            id: s.id.to_string(),
            verdict: wording::kind(&s.verdict).as_str(),
            headline: wording::headline(stored),
            closest: wording::closest(stored),
            score: best.map_or_else(String::new, |b| wording::score(b.score)),
            fill: best.map_or(0, |b| wording::fill(b.score)),
            started: wording::time(s.started),
            boat: s.boat.to_string(),
            sequence: s.sequence,
            returned: s.footage.as_ref().is_some_and(|f| f.encounter != s.id),
            no_picture: wording::no_picture(stored.picture),
        }
    }
}

struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "sightings.html")]
struct SightingsPage {
    cards: Vec<Card>,
    total: u64,
    boats: Vec<Choice>,
    verdicts: Vec<Choice>,
    filtered: bool,
    page: u64,
    pages: u64,
    newer: Option<String>,
    older: Option<String>,
    missing: u64,
    trouble: Option<String>,
    broker: String,
}

/// `GET /`
pub(super) async fn page(
    State(pages): State<Pages>,
    Asked(filter): Asked<Filter>,
) -> Result<Response, PageError> {
    let boat: Option<BoatId> = match filter.boat.as_str() {
        "" => None,
        name => Some(
            name.parse()
                .map_err(|_| PageError::BadRequest("the address names no boat"))?,
        ),
    };
    let verdict = match filter.verdict.as_str() {
        "" => None,
        word => Some(
            VerdictKind::parse(word)
                .ok_or(PageError::BadRequest("a verdict is known, new or review"))?,
        ),
    };
    let number = filter.page.unwrap_or(1).clamp(1, 1_000_000);
    let query = Query {
        boat: boat.clone(),
        verdict,
        encounter: None,
        offset: (number - 1) * PER_PAGE,
        limit: PER_PAGE,
    };
    let (Listing { total, sightings }, boats) = pages
        .ask(move |s| Ok((s.sightings(&query)?, s.boats()?)))
        .await?;

    let chosen_boat = boat.as_ref().map_or("", BoatId::as_str);
    let chosen_verdict = verdict.map_or("", VerdictKind::as_str);
    let link = |number: u64| format!("/?boat={chosen_boat}&verdict={chosen_verdict}&page={number}");
    let all = total.div_ceil(PER_PAGE).max(1);
    render(&SightingsPage {
        cards: sightings.iter().map(Card::of).collect(),
        total,
        boats: boats
            .iter()
            .map(|b| Choice {
                value: b.boat.to_string(),
                label: format!("{} ({})", b.boat, b.sightings),
                chosen: b.boat.as_str() == chosen_boat,
            })
            .collect(),
        verdicts: [
            (VerdictKind::Known, "Known whales"),
            (VerdictKind::New, "New whales"),
            (VerdictKind::Review, "For review"),
        ]
        .map(|(v, label)| Choice {
            value: v.as_str().into(),
            label: label.into(),
            chosen: verdict == Some(v),
        })
        .into(),
        filtered: boat.is_some() || verdict.is_some(),
        page: number,
        pages: all,
        newer: (number > 1).then(|| link((number - 1).min(all))),
        older: (number < all).then(|| link(number + 1)),
        missing: boats.iter().map(|b| b.missing).fold(0, u64::saturating_add),
        trouble: pages.health.trouble(),
        broker: pages.broker.clone(),
    })
}
