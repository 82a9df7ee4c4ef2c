//! The list of sightings.

use super::error::{PageResult, render};
use super::format;
use crate::request::{AppState, RequestError};
use crate::store::{BoatStatus, Listing, Query, StoredBrief, StoredSighting, VerdictKind};
use askama::Template;
use axum::extract::{Query as QueryParams, State};
use flukewatch_common::sighting::BoatId;
use serde::Deserialize;

const PER_PAGE: u64 = 24;
const MAX_PAGE: u64 = 1_000_000;
/// The most briefs on the first page.
const MAX_BRIEFS: u64 = 200;

/// The query string. The form sends an empty string for "all".
#[derive(Deserialize)]
pub(super) struct ListParams {
    #[serde(default)]
    boat: String,
    #[serde(default)]
    verdict: String,
    page: Option<u64>,
}

/// The parsed query string.
struct Filter {
    boat: Option<BoatId>,
    verdict: Option<VerdictKind>,
    page: u64,
}

impl ListParams {
    fn filter(&self) -> Result<Filter, RequestError> {
        let boat = match self.boat.as_str() {
            "" => None,
            name => {
                let boat = name.parse();
                Some(boat.map_err(|_| RequestError::BadRequest("'boat' must be a boat name"))?)
            }
        };
        let verdict = match self.verdict.as_str() {
            "" => None,
            word => Some(VerdictKind::parse(word).ok_or(RequestError::BadRequest(
                "'verdict' must be 'known', 'new', 'review' or 'unidentified'",
            ))?),
        };
        Ok(Filter {
            boat,
            verdict,
            page: self.page.unwrap_or(1).clamp(1, MAX_PAGE),
        })
    }
}

impl Filter {
    fn query(&self) -> Query {
        Query {
            boat: self.boat.clone(),
            verdict: self.verdict,
            encounter: None,
            offset: (self.page - 1) * PER_PAGE,
            limit: PER_PAGE,
        }
    }

    /// The briefs to show: all of them are on the first page.
    fn briefs(&self) -> Query {
        Query {
            offset: 0,
            limit: if self.page == 1 { MAX_BRIEFS } else { 0 },
            ..self.query()
        }
    }

    fn is_active(&self) -> bool {
        self.boat.is_some() || self.verdict.is_some()
    }

    fn link(&self, page: u64) -> String {
        let boat = self.boat.as_ref().map_or("", BoatId::as_str);
        let verdict = self.verdict.map_or("", VerdictKind::as_str);
        format!("/?boat={boat}&verdict={verdict}&page={page}")
    }

    fn boat_options(&self, boats: &[BoatStatus]) -> Vec<SelectOption> {
        let option = |b: &BoatStatus| SelectOption {
            value: b.boat.to_string(),
            label: format!("{} ({})", b.boat, b.sightings),
            selected: self.boat.as_ref() == Some(&b.boat),
        };
        boats.iter().map(option).collect()
    }

    fn verdict_options(&self) -> [SelectOption; 4] {
        [
            (VerdictKind::Known, "Known whales"),
            (VerdictKind::New, "New whales"),
            (VerdictKind::Review, "To review"),
            (VerdictKind::Unidentified, "Not identified"),
        ]
        .map(|(verdict, label)| SelectOption {
            value: verdict.as_str().into(),
            label: label.into(),
            selected: self.verdict == Some(verdict),
        })
    }
}

struct SelectOption {
    value: String,
    label: String,
    selected: bool,
}

struct Card {
    id: String,
    verdict: &'static str,
    headline: String,
    /// The best candidate, or why there is none.
    remark: String,
    score: String,
    bar_percent: u32,
    started: String,
    boat: String,
    sequence: u64,
    /// Whether an earlier sighting started the encounter.
    resighting: bool,
    picture_problem: Option<&'static str>,
}

impl From<&StoredSighting> for Card {
    fn from(stored: &StoredSighting) -> Self {
        let s = &stored.sighting;
        let best = s.candidates.first();
        Self {
            id: s.id.to_string(),
            verdict: VerdictKind::of(&s.verdict).as_str(),
            headline: format::headline(&s.verdict),
            remark: format::remark(s),
            score: best.map_or_else(String::new, |b| format::score(b.score)),
            bar_percent: best.map_or(0, |b| format::bar_percent(b.score)),
            started: format::time(s.started),
            boat: s.boat.to_string(),
            sequence: s.sequence,
            resighting: s.footage.as_ref().is_some_and(|f| f.encounter != s.id),
            picture_problem: format::picture_problem(stored.picture),
        }
    }
}

/// A sighting of which only the identity has arrived.
struct BriefRow {
    started: String,
    verdict: &'static str,
    whale: String,
    probability: String,
    position: String,
    boat: String,
    sequence: u64,
}

impl From<&StoredBrief> for BriefRow {
    fn from(brief: &StoredBrief) -> Self {
        let position = brief.position;
        Self {
            started: format::time(brief.started),
            verdict: brief.verdict.as_str(),
            whale: brief.whale.clone().unwrap_or_default(),
            probability: brief
                .probability
                .map_or_else(String::new, format::probability),
            position: position.map_or_else(String::new, |(n, e)| format::coordinates(n, e)),
            boat: brief.boat.to_string(),
            sequence: brief.sequence,
        }
    }
}

#[derive(Template)]
#[template(path = "sightings.html")]
struct SightingsPage {
    briefs: Vec<BriefRow>,
    cards: Vec<Card>,
    total: u64,
    boats: Vec<SelectOption>,
    verdicts: [SelectOption; 4],
    filtered: bool,
    page: u64,
    pages: u64,
    newer: Option<String>,
    older: Option<String>,
    missing: u64,
    issue: Option<String>,
    broker: String,
}

pub(super) async fn page(
    State(state): State<AppState>,
    QueryParams(params): QueryParams<ListParams>,
) -> PageResult {
    let filter = params.filter()?;
    let (query, of_briefs) = (filter.query(), filter.briefs());
    let (Listing { total, sightings }, briefs, boats) = state
        .with_store(move |s| Ok((s.sightings(&query)?, s.briefs(&of_briefs)?, s.boats()?)))
        .await?;
    let page = filter.page;
    let pages = total.div_ceil(PER_PAGE).max(1);
    render(&SightingsPage {
        briefs: briefs.iter().map(BriefRow::from).collect(),
        cards: sightings.iter().map(Card::from).collect(),
        total,
        boats: filter.boat_options(&boats),
        verdicts: filter.verdict_options(),
        filtered: filter.is_active(),
        page,
        pages,
        newer: (page > 1).then(|| filter.link((page - 1).min(pages))),
        older: (page < pages).then(|| filter.link(page + 1)),
        missing: boats.iter().map(|b| b.missing).fold(0, u64::saturating_add),
        issue: state.health.issue(),
        broker: state.broker,
    })
}
