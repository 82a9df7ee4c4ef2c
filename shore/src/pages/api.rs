//! The JSON API.
//!
//! `GET /api/sightings?boat=&verdict=&encounter=&limit=&offset=` gives an array of [`SightingJson`], newest first, 1000 where no limit
//! is given and never more than 10,000; the header `x-total-count` says how many there are in all. `GET /api/sightings/{id}` gives
//! one, `GET /api/boats` an array of [`BoatJson`], `GET /api/refused` a [`RefusedJson`], `GET /api/health` a [`HealthJson`] (status
//! 503 while shore does not hear its broker or cannot store). Errors are `{"error": ".."}`. Times are ISO 8601 in UTC.

use super::error::PageError;
use super::{Pages, wording};
use crate::store::{
    BoatStatus, Gap, PictureState, Query, RefusedCount, RefusedMessage, StoredSighting, VerdictKind,
};
use axum::Json;
use axum::extract::{Path, Query as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::{Footage, FrameSize, Place};
use flukewatch_common::position::{Position, TimeBasis};
use flukewatch_common::sighting::BoatId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many sightings come where the request does not say.
const LIMIT: u64 = 1000;
/// The most that come at once.
const MOST: u64 = 10_000;

/// One candidate of a sighting.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CandidateJson {
    /// The whale's name in the catalogue.
    pub whale: String,
    /// The cosine with its most similar photo, -1 to 1.
    pub score: f32,
    /// That photo's file name.
    pub photo: String,
}

/// One sighting.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SightingJson {
    /// A UUID, the same on boat and shore.
    pub id: String,
    /// The boat's name.
    pub boat: String,
    /// The boat's own count, from 1.
    pub sequence: u64,
    /// Which of its cameras.
    pub camera: String,
    /// When the fluke was first seen.
    pub started: String,
    /// When it was last seen.
    pub ended: String,
    /// Frames with the fluke.
    pub frames: u32,
    /// `known`, `new` or `review`.
    pub verdict: &'static str,
    /// The whale, where the verdict is `known`; else null.
    pub whale: Option<String>,
    /// The best candidate's score; null where there is no candidate.
    pub score: Option<f32>,
    /// The chance that the first candidate is right, 0 to 1; null where the boat's bundle has no curve for it.
    pub chance: Option<f32>,
    /// The whales that it may be, best first.
    pub candidates: Vec<CandidateJson>,
    /// Where the boat was when the sighting began: `latitude`, `longitude`, `course` and `heading` in degrees, `speed` in knots, `age` in
    /// milliseconds, `quality`, `satellites`, `hdop`; null where it did not know.
    pub position: Option<Position>,
    /// Whose clock `started` and `ended` are of: `source` is `computer`, `satellites` or `replay`, `uncertainty` in milliseconds or
    /// null; null from boats of an older version.
    pub time: Option<TimeBasis>,
    /// The encounter: the id of its first sighting; null from boats of an older version.
    pub encounter: Option<String>,
    /// How much the picture can tell, in per cent; null from boats of an older version.
    pub quality: Option<u8>,
    /// What the sighting rests on; null from boats of an older version.
    pub footage: Option<FootageJson>,
    /// The id of the bundle that decided.
    pub bundle: String,
    /// The engine that ran the model.
    pub engine: String,
    /// Whether the picture has arrived as announced.
    pub picture_stored: bool,
    /// `missing`, `stored`, `broken` (as announced, but no readable JPEG) or `mismatched`.
    pub picture: &'static str,
    /// When shore stored the sighting.
    pub received: String,
}

impl From<&StoredSighting> for SightingJson {
    fn from(stored: &StoredSighting) -> Self {
        let s = &stored.sighting;
        let candidates = s.candidates.iter();
        Self {
            id: s.id.to_string(),
            boat: s.boat.to_string(),
            sequence: s.sequence,
            camera: s.camera.clone(),
            started: s.started.to_string(),
            ended: s.ended.to_string(),
            frames: s.frames,
            verdict: wording::kind(&s.verdict).as_str(),
            whale: match &s.verdict {
                Verdict::Known { whale } => Some(whale.clone()),
                Verdict::New | Verdict::Review => None,
            },
            score: s.candidates.first().map(|c| c.score),
            chance: s.chance,
            candidates: candidates
                .map(|c| CandidateJson {
                    whale: c.whale.clone(),
                    score: c.score,
                    photo: c.photo.clone(),
                })
                .collect(),
            position: s.position,
            time: s.time,
            encounter: s.footage.as_ref().map(|f| f.encounter.to_string()),
            quality: s
                .footage
                .as_ref()
                .and_then(|f| Some(f.crops.first()?.total())),
            footage: s.footage.as_ref().map(FootageJson::from),
            bundle: s.bundle.clone(),
            engine: s.engine.clone(),
            picture_stored: matches!(stored.picture, PictureState::Stored | PictureState::Broken),
            picture: match stored.picture {
                PictureState::Missing => "missing",
                PictureState::Stored => "stored",
                PictureState::Broken => "broken",
                PictureState::Mismatched => "mismatched",
            },
            received: stored.received.to_string(),
        }
    }
}

/// What a sighting rests on.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FootageJson {
    /// The camera's `width` and `height` in pixels.
    pub frame: FrameSize,
    /// Where the fluke was: `after` the begin in milliseconds, `region` in the frame.
    pub places: Vec<Place>,
    /// The crops that were matched, best first.
    pub crops: Vec<CropJson>,
    /// Crops of the encounter's earlier sightings that the verdict rests on besides.
    pub earlier_crops: u8,
    /// The detector's best score, 0 to 1; null where no detector looked.
    pub detector: Option<f32>,
    /// The boat's configuration: the first 16 hexadecimal digits of its SHA-256.
    pub config: String,
}

/// One crop; all but `after` in per cent.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CropJson {
    /// Milliseconds after the sighting's begin.
    pub after: u32,
    /// All of it in one number.
    pub quality: u8,
    /// How sharp it is.
    pub sharpness: u8,
    /// How large it is beside what the model looks at.
    pub size: u8,
    /// How far its outline is that of a fluke that shows its whole underside.
    pub angle: u8,
    /// How much of it is neither burnt out nor black.
    pub exposure: u8,
}

impl From<&Footage> for FootageJson {
    fn from(f: &Footage) -> Self {
        let crops = f.crops.iter().map(|c| CropJson {
            after: c.after,
            quality: c.total(),
            sharpness: c.sharpness,
            size: c.size,
            angle: c.angle,
            exposure: c.exposure,
        });
        Self {
            frame: f.frame,
            places: f.places.clone(),
            crops: crops.collect(),
            earlier_crops: f.earlier_crops,
            detector: f.detector,
            config: f.config.to_string(),
        }
    }
}

/// A range of missing sequence numbers, both ends inclusive.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct GapJson {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// One boat.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BoatJson {
    /// Its name.
    pub boat: String,
    /// When its first message was stored.
    pub first_seen: String,
    /// When its last message came.
    pub last_seen: String,
    /// Sightings stored.
    pub sightings: u64,
    /// The highest sequence number.
    pub highest_sequence: u64,
    /// Sequence numbers below it that have not come.
    pub missing: u64,
    /// The same as ranges, at most 100.
    pub gaps: Vec<GapJson>,
    /// Sightings whose number another one has too.
    pub repeated: u64,
    /// Sightings without their picture.
    pub pictures_missing: u64,
    /// Pictures without their sighting.
    pub pictures_waiting: u64,
}

impl From<&BoatStatus> for BoatJson {
    fn from(b: &BoatStatus) -> Self {
        Self {
            boat: b.boat.to_string(),
            first_seen: b.first_seen.to_string(),
            last_seen: b.last_seen.to_string(),
            sightings: b.sightings,
            highest_sequence: b.highest_sequence,
            missing: b.missing,
            gaps: b
                .gaps
                .iter()
                .map(|&Gap { first, last }| GapJson { first, last })
                .collect(),
            repeated: b.repeated,
            pictures_missing: b.pictures_missing,
            pictures_waiting: b.pictures_waiting,
        }
    }
}

/// What was refused.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RefusedJson {
    /// How many, by reason, since the store was made.
    pub counts: Vec<CountJson>,
    /// The last 1000, newest first.
    pub messages: Vec<RefusedMessageJson>,
}

/// How many messages were refused for a reason.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CountJson {
    /// In a word.
    pub reason: String,
    /// How many.
    pub total: u64,
}

impl From<RefusedCount> for CountJson {
    fn from(c: RefusedCount) -> Self {
        Self {
            reason: c.reason,
            total: c.total,
        }
    }
}

/// A message that was refused.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RefusedMessageJson {
    /// In a word.
    pub reason: String,
    /// In a sentence.
    pub detail: String,
    /// Where it was published.
    pub topic: String,
    /// How large it was.
    pub bytes: u64,
    /// Its first 256 bytes in hexadecimal.
    pub head: String,
    /// How often the same came.
    pub times: u64,
    /// When first.
    pub first_seen: String,
    /// When last.
    pub last_seen: String,
}

impl From<RefusedMessage> for RefusedMessageJson {
    fn from(m: RefusedMessage) -> Self {
        let told = |t: Timestamp| t.to_string();
        Self {
            reason: m.reason,
            detail: m.detail,
            topic: m.topic,
            bytes: m.bytes,
            head: m.head,
            times: m.times,
            first_seen: told(m.first_seen),
            last_seen: told(m.last_seen),
        }
    }
}

/// Whether shore does its work.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct HealthJson {
    /// `ok`, or `waiting` for the broker or for a disk that takes something.
    pub status: &'static str,
    /// Where boats publish.
    pub broker: String,
    /// What stands in the way, where that is known.
    pub trouble: Option<String>,
    /// Sightings stored.
    pub sightings: u64,
    /// Boats heard.
    pub boats: u64,
    /// Sequence numbers missing, all boats together.
    pub missing: u64,
    /// Messages refused, by reason.
    pub refused: Vec<CountJson>,
}

/// An error, as the API tells it.
pub(super) struct ApiError(PageError);

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = self.0.told();
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

type Answer<T> = Result<T, ApiError>;

/// Which sightings are asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    boat: Option<String>,
    verdict: Option<String>,
    encounter: Option<String>,
    limit: Option<u64>,
    offset: Option<u64>,
}

/// `GET /api/sightings`
pub(super) async fn sightings(
    State(pages): State<Pages>,
    Asked(wanted): Asked<Wanted>,
) -> Answer<Response> {
    let boat = wanted.boat.map(|b| b.parse::<BoatId>()).transpose();
    let verdict = wanted.verdict.map(|v| VerdictKind::parse(&v).ok_or(()));
    let encounter = wanted.encounter.map(|e| e.parse::<Uuid>()).transpose();
    let query = Query {
        boat: boat.map_err(|_| PageError::BadRequest("'boat' is no boat's name"))?,
        verdict: verdict
            .transpose()
            .map_err(|()| PageError::BadRequest("'verdict' must be known, new or review"))?,
        encounter: encounter.map_err(|_| PageError::BadRequest("'encounter' is no id"))?,
        offset: wanted.offset.unwrap_or(0),
        limit: wanted.limit.unwrap_or(LIMIT).min(MOST),
    };
    let listing = pages.ask(move |s| s.sightings(&query)).await?;
    let found: Vec<SightingJson> = listing.sightings.iter().map(SightingJson::from).collect();
    Ok(([("x-total-count", listing.total.to_string())], Json(found)).into_response())
}

/// `GET /api/sightings/{id}`
pub(super) async fn sighting(
    State(pages): State<Pages>,
    Path(id): Path<String>,
) -> Answer<Json<SightingJson>> {
    let id: Uuid = id.parse().map_err(|_| PageError::NotFound)?;
    let stored = pages
        .ask(move |s| s.sighting(id))
        .await?
        .ok_or(PageError::NotFound)?;
    Ok(Json(SightingJson::from(&stored)))
}

/// `GET /api/boats`
pub(super) async fn boats(State(pages): State<Pages>) -> Answer<Json<Vec<BoatJson>>> {
    let boats = pages.ask(|s| s.boats()).await?;
    Ok(Json(boats.iter().map(BoatJson::from).collect()))
}

/// `GET /api/refused`
pub(super) async fn refused(State(pages): State<Pages>) -> Answer<Json<RefusedJson>> {
    let (counts, messages) = pages
        .ask(|s| Ok((s.refused_counts()?, s.refused(1000)?)))
        .await?;
    Ok(Json(RefusedJson {
        counts: counts.into_iter().map(CountJson::from).collect(),
        messages: messages.into_iter().map(RefusedMessageJson::from).collect(),
    }))
}

/// `GET /api/health`
pub(super) async fn health(State(pages): State<Pages>) -> Answer<Response> {
    let nothing = Query::default();
    let asked = pages.ask(move |s| {
        Ok((
            s.sightings(&nothing)?.total,
            s.boats()?,
            s.refused_counts()?,
        ))
    });
    let (sightings, boats, refused) = asked.await?;
    let trouble = pages.health.trouble();
    let well = pages.health.is_connected() && trouble.is_none();
    let health = HealthJson {
        status: if well { "ok" } else { "waiting" },
        broker: pages.broker.clone(),
        trouble,
        sightings,
        boats: boats.len() as u64,
        missing: boats.iter().map(|b| b.missing).fold(0, u64::saturating_add),
        refused: refused.into_iter().map(CountJson::from).collect(),
    };
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok((status, Json(health)).into_response())
}
