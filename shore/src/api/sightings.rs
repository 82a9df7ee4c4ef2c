//! `GET /api/v1/sightings` and `GET /api/v1/sightings/{id}`

use super::error::ApiResult;
use super::file_requests::FileRequestJson;
use crate::request::{AppState, RequestError};
use crate::store::{PictureState, Query, StoredSighting, VerdictKind};
use axum::Json;
use axum::extract::{Path, Query as QueryParams, State};
use axum::response::{IntoResponse, Response};
use flukewatch_common::catalogue::Match;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::{CropQuality, Footage, FrameSize, TimedBox};
use flukewatch_common::input_area::{InputArea, PhotoRect};
use flukewatch_common::matching_regions::{MatchingRegions, RegionOutlines};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::{Position, TimeBasis};
use flukewatch_common::relative_position::RelativePosition;
use flukewatch_common::sighting::{BoatId, Sighting};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const DEFAULT_LIMIT: u64 = 1000;
const MAX_LIMIT: u64 = 10_000;

/// A stored sighting with the state of its picture.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct SightingJson {
    /// A UUID, the same on boat and shore.
    pub id: String,
    /// Name of the boat that reported it.
    pub boat: String,
    /// The boat's sequence number, from 1.
    pub sequence: u64,
    /// Name of the camera on the boat.
    pub camera: String,
    /// Time of the first frame with the fluke.
    pub started: String,
    /// Time of the last frame with the fluke.
    pub ended: String,
    /// Frames with the fluke.
    pub frames: u32,
    /// `known`, `new`, `review` or `unidentified`.
    pub verdict: &'static str,
    /// The whale, if the verdict is `known`.
    pub whale: Option<String>,
    /// Why no model has identified the whale, if the verdict is `unidentified`.
    pub reason: Option<String>,
    /// The best candidate's score; null without candidates.
    pub score: Option<f32>,
    /// The probability that the best candidate is the whale, 0 to 1; null if the boat's bundle has
    /// no calibrator.
    pub probability: Option<f32>,
    /// The most similar whales, best first.
    pub candidates: Vec<CandidateJson>,
    /// The boat's position when the sighting started; null if unknown.
    pub position: Option<PositionJson>,
    /// Where the whale was relative to the boat when the picture was taken; null if the camera's mount is
    /// unknown.
    pub relative_position: Option<RelativePositionJson>,
    /// The time source of `started` and `ended`; null from boats of an older version.
    pub time: Option<TimeJson>,
    /// The encounter: the id of its first sighting; null from boats of an older version.
    pub encounter: Option<String>,
    /// Quality of the picture; null from boats of an older version.
    pub quality_percent: Option<u8>,
    /// The detections and crops behind the sighting; null from boats of an older version.
    pub footage: Option<FootageJson>,
    /// The id of the bundle that identified the whale; empty if the verdict is `unidentified`.
    pub bundle: String,
    /// Name of the boat's inference engine; empty if the verdict is `unidentified`.
    pub engine: String,
    /// Whether the picture was received as announced.
    pub picture_stored: bool,
    /// `missing`, `stored`, `unreadable` (as announced, but not a valid JPEG) or `mismatched`.
    pub picture: &'static str,
    /// 0 as the boat first reported the sighting; higher after corrections.
    pub revision: u32,
    /// When shore stored this revision of the sighting.
    pub received: String,
}

/// A sighting with the revisions that it has replaced.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RevisedSightingJson {
    /// The highest revision.
    #[serde(flatten)]
    pub sighting: SightingJson,
    /// The earlier ones, lowest first.
    pub earlier_revisions: Vec<SightingJson>,
    /// The clips and crops of it that were requested, the latest first.
    pub file_requests: Vec<FileRequestJson>,
}

/// One candidate of a sighting.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CandidateJson {
    /// The whale's name in the catalogue.
    pub whale: String,
    /// The cosine similarity to the whale's most similar photo, -1 to 1.
    pub score: f32,
    /// That photo's file name.
    pub photo: String,
    /// The regions of the picture and that photo that match, the most contributing first; null if the
    /// boat's bundle has no local matching, or from boats of an older version.
    pub matching_regions: Option<Vec<RegionJson>>,
}

/// A region of the picture and the region of the candidate's photo that is most like it.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RegionJson {
    /// The contribution to the similarity of both photos, 0 to 1.
    pub contribution: f32,
    /// The region in the picture; null if it is outside.
    pub picture: Option<RectJson>,
    /// The region in the photo; null if its place is unknown.
    pub photo: Option<RectJson>,
}

/// A rectangle in per cent of a photo's width and height.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RectJson {
    /// The left edge.
    pub left_percent: f32,
    /// The top edge.
    pub top_percent: f32,
    /// The width.
    pub width_percent: f32,
    /// The height.
    pub height_percent: f32,
}

/// The position of a boat. Angles are in degrees.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct PositionJson {
    /// North of the equator, -90 to 90 (WGS 84).
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
    /// `autonomous`, `differential`, `rtk-float`, `rtk`, `estimated`, `manual` or `simulated`.
    pub fix_quality: &'static str,
    /// Time between the fix and the start of the sighting.
    pub fix_age_ms: u32,
    /// Number of satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground in knots.
    pub speed_knots: Option<f32>,
    /// Course over ground, true, 0 to 360.
    pub course: Option<f32>,
    /// Heading of the bow, true, 0 to 360.
    pub heading: Option<f32>,
}

/// Where a whale was relative to its boat: a rough estimate.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct RelativePositionJson {
    /// True bearing, 0 to 360; null if the boat's heading was unknown.
    pub bearing_degrees: Option<f32>,
    /// Bearing clockwise from the bow, 0 to 360; null if the camera's bearing is unknown.
    pub bearing_from_bow_degrees: Option<f32>,
    /// Range, up to 3,000; null if it cannot be estimated.
    pub range_metres: Option<f32>,
}

/// How far a sighting's times can be trusted.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct TimeJson {
    /// `system`, `gnss` or `replay`.
    pub source: &'static str,
    /// Maximum error; null if unknown.
    pub uncertainty_ms: Option<u32>,
}

/// The detections and crops behind a sighting.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct FootageJson {
    /// The camera's `width` and `height` in pixels.
    pub frame: FrameSize,
    /// The fluke's bounding boxes, in order of time.
    pub boxes: Vec<BoxJson>,
    /// The crops that were matched, best first.
    pub crops: Vec<CropJson>,
    /// Crops of the encounter's earlier sightings that were matched too.
    pub earlier_crops: u8,
    /// The detector's highest confidence, 0 to 1; null without a detector.
    pub detector_confidence: Option<f32>,
    /// The boat's configuration: the first 16 hexadecimal digits of its SHA-256.
    pub config_id: String,
}

/// A bounding box at a time.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct BoxJson {
    /// Time after the start of the sighting.
    pub offset_ms: u32,
    /// The box in pixels of the frame.
    pub region: PixelBox,
}

/// The quality of one crop.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct CropJson {
    /// Time after the start of the sighting.
    pub offset_ms: u32,
    /// The product of the other four.
    pub quality_percent: u8,
    /// Sharpness of the crop in per cent.
    pub sharpness_percent: u8,
    /// Size relative to the model's input.
    pub size_percent: u8,
    /// How much of the fluke's underside is visible, by its outline.
    pub angle_percent: u8,
    /// Pixels that are neither over- nor underexposed.
    pub exposure_percent: u8,
}

impl From<&StoredSighting> for SightingJson {
    fn from(stored: &StoredSighting) -> Self {
        let s = &stored.sighting;
        let footage = s.footage.as_ref();
        Self {
            id: s.id.to_string(),
            boat: s.boat.to_string(),
            sequence: s.sequence,
            camera: s.camera.clone(),
            started: s.started.to_string(),
            ended: s.ended.to_string(),
            frames: s.frames,
            verdict: VerdictKind::of(&s.verdict).as_str(),
            whale: match &s.verdict {
                Verdict::Known { whale } => Some(whale.clone()),
                Verdict::New | Verdict::Review | Verdict::Unidentified { .. } => None,
            },
            reason: match &s.verdict {
                Verdict::Unidentified { reason } => Some(reason.clone()),
                Verdict::Known { .. } | Verdict::New | Verdict::Review => None,
            },
            score: s.candidates.first().map(|c| c.score),
            probability: s.probability,
            candidates: candidates(s),
            position: s.position.as_ref().map(PositionJson::from),
            relative_position: s.relative_position.map(RelativePositionJson::from),
            time: s.time.as_ref().map(TimeJson::from),
            encounter: footage.map(|f| f.encounter.to_string()),
            quality_percent: footage.and_then(|f| Some(f.crops.first()?.total())),
            footage: footage.map(FootageJson::from),
            bundle: s.bundle.clone(),
            engine: s.engine.clone(),
            picture_stored: matches!(
                stored.picture,
                PictureState::Stored | PictureState::Unreadable
            ),
            picture: stored.picture.as_str(),
            revision: s.revision,
            received: stored.received.to_string(),
        }
    }
}

fn candidates(s: &Sighting) -> Vec<CandidateJson> {
    let candidate = |(number, m): (usize, &Match)| CandidateJson {
        whale: m.whale.clone(),
        score: m.score,
        photo: m.photo.clone(),
        matching_regions: s.regions.as_ref().map(|r| matching_regions(r, number)),
    };
    s.candidates.iter().enumerate().map(candidate).collect()
}

fn matching_regions(regions: &MatchingRegions, candidate: usize) -> Vec<RegionJson> {
    let photo = regions.candidates.get(candidate).and_then(|c| c.photo);
    let json = |outlines: RegionOutlines| RegionJson {
        contribution: outlines.contribution,
        picture: outlines.picture.map(|r| rect(r, regions.picture)),
        photo: outlines
            .photo
            .zip(photo)
            .map(|(rect_of, area)| rect(rect_of, area)),
    };
    regions.outlines(candidate).into_iter().map(json).collect()
}

/// Independent of the size of the copy of the photo.
fn rect(rect: PhotoRect, area: InputArea) -> RectJson {
    let per_cent = |pixels: f32, side: u32| (pixels / side as f32 * 10_000.0).round() / 100.0;
    RectJson {
        left_percent: per_cent(rect.left, area.width),
        top_percent: per_cent(rect.top, area.height),
        width_percent: per_cent(rect.width, area.width),
        height_percent: per_cent(rect.height, area.height),
    }
}

impl From<&Position> for PositionJson {
    fn from(p: &Position) -> Self {
        Self {
            latitude: p.latitude,
            longitude: p.longitude,
            fix_quality: p.quality.as_str(),
            fix_age_ms: p.age,
            satellites: p.satellites,
            hdop: p.hdop,
            speed_knots: p.speed,
            course: p.course,
            heading: p.heading,
        }
    }
}

impl From<RelativePosition> for RelativePositionJson {
    fn from(r: RelativePosition) -> Self {
        Self {
            bearing_degrees: r.bearing,
            bearing_from_bow_degrees: r.bearing_from_bow,
            range_metres: r.range,
        }
    }
}

impl From<&TimeBasis> for TimeJson {
    fn from(t: &TimeBasis) -> Self {
        Self {
            source: t.source.as_str(),
            uncertainty_ms: t.uncertainty,
        }
    }
}

impl From<&Footage> for FootageJson {
    fn from(f: &Footage) -> Self {
        Self {
            frame: f.frame,
            boxes: f.boxes.iter().map(BoxJson::from).collect(),
            crops: f.crops.iter().map(CropJson::from).collect(),
            earlier_crops: f.earlier_crops,
            detector_confidence: f.detector,
            config_id: f.config.to_string(),
        }
    }
}

impl From<&TimedBox> for BoxJson {
    fn from(b: &TimedBox) -> Self {
        Self {
            offset_ms: b.after,
            region: b.region,
        }
    }
}

impl From<&CropQuality> for CropJson {
    fn from(c: &CropQuality) -> Self {
        Self {
            offset_ms: c.after,
            quality_percent: c.total(),
            sharpness_percent: c.sharpness,
            size_percent: c.size,
            angle_percent: c.angle,
            exposure_percent: c.exposure,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ListParams {
    boat: Option<String>,
    verdict: Option<String>,
    encounter: Option<String>,
    limit: Option<u64>,
    offset: Option<u64>,
}

impl ListParams {
    pub(super) fn query(self) -> Result<Query, RequestError> {
        let boat = self.boat.map(|b| b.parse::<BoatId>()).transpose();
        let verdict = self.verdict.map(|v| VerdictKind::parse(&v).ok_or(()));
        let encounter = self.encounter.map(|e| e.parse::<Uuid>()).transpose();
        Ok(Query {
            boat: boat.map_err(|_| RequestError::BadRequest("'boat' must be a boat name"))?,
            verdict: verdict.transpose().map_err(|()| {
                RequestError::BadRequest(
                    "'verdict' must be 'known', 'new', 'review' or 'unidentified'",
                )
            })?,
            encounter: encounter
                .map_err(|_| RequestError::BadRequest("'encounter' must be a UUID"))?,
            offset: self.offset.unwrap_or(0),
            limit: self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT),
        })
    }
}

pub(super) async fn list(
    State(state): State<AppState>,
    QueryParams(params): QueryParams<ListParams>,
) -> ApiResult<Response> {
    let query = params.query()?;
    let listing = state.with_store(move |s| s.sightings(&query)).await?;
    let sightings: Vec<SightingJson> = listing.sightings.iter().map(SightingJson::from).collect();
    let total = [("x-total-count", listing.total.to_string())];
    Ok((total, Json(sightings)).into_response())
}

pub(super) async fn by_id(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> ApiResult<Json<RevisedSightingJson>> {
    let id: Uuid = id.parse().map_err(|_| RequestError::NotFound)?;
    let (stored, earlier, requests) = state
        .with_store(move |s| {
            let earlier = s.earlier_revisions(id)?;
            Ok((s.sighting(id)?, earlier, s.file_requests(Some(id))?))
        })
        .await?;
    let stored = stored.ok_or(RequestError::NotFound)?;
    Ok(Json(RevisedSightingJson {
        sighting: SightingJson::from(&stored),
        earlier_revisions: earlier.iter().map(SightingJson::from).collect(),
        file_requests: requests.iter().map(FileRequestJson::from).collect(),
    }))
}
