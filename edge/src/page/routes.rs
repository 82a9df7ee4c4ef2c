//! What is answered to which request.

use super::look::{EVERY, Kind, Looks};
use crate::condition::{self, Line};
use crate::health::Health;
use crate::machine::Level;
use crate::metrics;
use crate::outbox::{self, Recent};
use crate::service::{Aboard, Bulletin};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use flukewatch_common::decision::Verdict;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How many of the last sightings are told.
const SIGHTINGS: usize = 30;
/// A health document that is older says nothing any more.
const STALE: Duration = Duration::from_secs(45);
/// Everything comes from here, and nothing is inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What answers are made of.
#[derive(Clone)]
struct Boat {
    bulletin: Arc<Bulletin>,
    looks: Arc<Looks>,
}

/// All routes.
pub(super) fn router(aboard: &Aboard) -> Router {
    let boat = Boat {
        bulletin: aboard.bulletin.clone(),
        looks: Arc::new(Looks::new(aboard.viewfinder.clone())),
    };
    Router::new()
        .route("/", get(page))
        .route("/boat.css", get(css))
        .route("/boat.js", get(script))
        .route("/condition.json", get(condition))
        .route("/sightings.json", get(sightings))
        .route("/sightings/{file}", get(picture))
        .route("/cameras/{number}/view.jpg", get(view))
        .route("/cameras/{number}/snapshot.jpg", get(snapshot))
        .route("/health.json", get(health))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .fallback(|| async { told(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .layer(middleware::from_fn(protect))
        .with_state(boat)
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("the boat is starting")]
    Starting,
    #[error("{0}")]
    Missing(&'static str),
    #[error("camera '{camera}' gives no picture: {state}")]
    NoPicture { camera: String, state: String },
    /// What exactly stays in the log.
    #[error("that cannot be read; the log says why")]
    Failed,
}

impl PageError {
    fn failed(error: impl std::fmt::Display) -> Self {
        tracing::warn!("the boat's page cannot answer: {error}");
        Self::Failed
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Starting | Self::NoPicture { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        told(status, self.to_string())
    }
}

fn told(status: StatusCode, words: impl Into<String>) -> Response {
    (status, format!("{}\n", words.into())).into_response()
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

async fn page() -> Response {
    asset(
        "text/html; charset=utf-8",
        include_str!("../../assets/boat.html"),
    )
}

async fn css() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("../../assets/boat.css"),
    )
}

async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../../assets/boat.js"),
    )
}

/// The health document and its age, or why there is none.
fn newest(boat: &Boat) -> Result<(Arc<Health>, Duration), PageError> {
    boat.bulletin.read().ok_or(PageError::Starting)
}

/// What the page says of the boat.
#[derive(Serialize)]
struct Condition<'a> {
    boat: &'a str,
    version: &'static str,
    level: Level,
    written: &'a str,
    seconds_ago: u64,
    frames: u64,
    sightings: u64,
    cameras: Vec<&'a str>,
    lines: Vec<Line>,
}

/// Lines on the boat, and one on the document itself where it is old.
fn lines(health: &Health, age: Duration) -> Vec<Line> {
    let mut lines = condition::lines(health);
    if age > STALE {
        lines.insert(
            0,
            Line {
                level: Level::Fault,
                about: "program".into(),
                words: format!("has said nothing for {} s", age.as_secs()),
            },
        );
    }
    lines
}

async fn condition(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, age) = newest(&boat)?;
    let lines = lines(&health, age);
    let condition = Condition {
        boat: &health.boat,
        version: env!("CARGO_PKG_VERSION"),
        level: condition::worst(&lines),
        written: &health.written,
        seconds_ago: age.as_secs(),
        frames: health.frames,
        sightings: health.accepted,
        cameras: health.cameras.iter().map(|c| c.name.as_str()).collect(),
        lines,
    };
    Ok(Json(condition).into_response())
}

async fn health(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, _) = newest(&boat)?;
    Ok(Json(&*health).into_response())
}

async fn healthz(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, age) = newest(&boat)?;
    let faults: Vec<String> = lines(&health, age)
        .into_iter()
        .filter(|l| l.level == Level::Fault)
        .map(|l| format!("{}: {}", l.about, l.words))
        .collect();
    Ok(if faults.is_empty() {
        told(StatusCode::OK, "ok")
    } else {
        told(StatusCode::SERVICE_UNAVAILABLE, faults.join("\n"))
    })
}

async fn metrics_text(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, _) = newest(&boat)?;
    let text = metrics::text(&health).map_err(PageError::failed)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// A sighting as the page shows it.
#[derive(Serialize)]
struct Shown {
    id: Uuid,
    sequence: u64,
    camera: String,
    started: String,
    seconds: f64,
    frames: u32,
    verdict: &'static str,
    whale: Option<String>,
    chance: Option<f32>,
    candidates: Vec<Candidate>,
    position: Option<[f64; 2]>,
    receipted: bool,
    picture_receipted: bool,
}

#[derive(Serialize)]
struct Candidate {
    whale: String,
    score: f32,
}

fn shown(recent: Recent) -> Shown {
    let Recent {
        sighting: s,
        receipted,
        picture_receipted,
    } = recent;
    let (verdict, whale) = match s.verdict {
        Verdict::Known { whale } => ("known", Some(whale)),
        Verdict::New => ("new", None),
        Verdict::Review => ("review", None),
    };
    Shown {
        id: s.id,
        sequence: s.sequence,
        camera: s.camera,
        started: s.started.to_string(),
        seconds: s.ended.millis_since(s.started) as f64 / 1000.0,
        frames: s.frames,
        verdict,
        whale,
        chance: s.chance,
        candidates: s
            .candidates
            .into_iter()
            .map(|c| Candidate {
                whale: c.whale,
                score: c.score,
            })
            .collect(),
        position: s.position.map(|p| [p.latitude, p.longitude]),
        receipted,
        picture_receipted,
    }
}

async fn sightings(State(boat): State<Boat>) -> Result<Response, PageError> {
    let Some(folder) = boat.bulletin.outbox() else {
        return Ok(Json::<[Shown; 0]>([]).into_response());
    };
    let read = tokio::task::spawn_blocking(move || outbox::recent(&folder, SIGHTINGS));
    let all = read
        .await
        .map_err(PageError::failed)?
        .map_err(PageError::failed)?;
    let all: Vec<Shown> = all.into_iter().map(shown).collect();
    Ok(Json(all).into_response())
}

fn jpeg(file: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, "image/jpeg")], file.into()).into_response()
}

async fn picture(
    State(boat): State<Boat>,
    Path(file): Path<String>,
) -> Result<Response, PageError> {
    let missing = PageError::Missing("this picture is not on board");
    let id = file
        .strip_suffix(".jpg")
        .and_then(|id| id.parse::<Uuid>().ok());
    let (Some(id), Some(folder)) = (id, boat.bulletin.outbox()) else {
        return Err(missing);
    };
    let read = tokio::task::spawn_blocking(move || outbox::recent_picture(&folder, id));
    let picture = read
        .await
        .map_err(PageError::failed)?
        .map_err(PageError::failed)?;
    let mut response = jpeg(picture.ok_or(missing)?);
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400, immutable"),
    );
    Ok(response)
}

const NO_CAMERA: PageError = PageError::Missing("there is no such camera");

async fn look(boat: &Boat, number: &str, kind: Kind) -> Result<(String, Response), PageError> {
    let (health, _) = newest(boat)?;
    let number: usize = number.parse().map_err(|_| NO_CAMERA)?;
    let camera = health.cameras.get(number).ok_or(NO_CAMERA)?;
    let picture = boat.looks.picture(number, kind).await;
    let picture = picture.ok_or_else(|| PageError::NoPicture {
        camera: camera.name.clone(),
        state: camera.state.clone(),
    })?;
    Ok((camera.name.clone(), jpeg(picture)))
}

async fn view(State(boat): State<Boat>, Path(number): Path<String>) -> Result<Response, PageError> {
    let (_, mut response) = look(&boat, &number, Kind::View).await?;
    if let Ok(value) = HeaderValue::from_str(&EVERY.as_millis().to_string()) {
        response.headers_mut().insert("x-next-milliseconds", value);
    }
    Ok(response)
}

async fn snapshot(
    State(boat): State<Boat>,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let (name, mut response) = look(&boat, &number, Kind::Snapshot).await?;
    // Of the name only what no header and no file system minds.
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let disposition = format!("attachment; filename=\"{name}.jpg\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
