//! The page's routes.

use super::access::Anonymous;
use super::preview::{INTERVAL, Kind, Previews};
use crate::app_state::{AppState, StatusBoard};
use crate::health::Health;
use crate::listed_sighting::ListedSighting;
use crate::machine::Severity;
use crate::metrics;
use crate::outbox;
use crate::status::{self, StatusItem};
use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use flukewatch_http::Rejections;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How many sightings are listed.
const SIGHTINGS: usize = 30;
/// A health document of this age means that the program hangs.
const STALE: Duration = Duration::from_secs(45);

/// What responses are made of.
#[derive(Clone)]
struct Boat {
    status: Arc<StatusBoard>,
    previews: Arc<Previews>,
    rejections: Arc<Rejections>,
}

/// The router of all pages and API requests.
pub(super) fn router(state: &AppState) -> Router {
    let boat = Boat {
        status: state.status.clone(),
        previews: Arc::new(Previews::new(state.preview.clone())),
        rejections: state.page_rejections.clone(),
    };
    let api = Router::new()
        .route("/status", get(status))
        .route("/health", get(health))
        .route("/sightings", get(sightings))
        .route("/sightings/{file}", get(picture))
        .route("/cameras/{number}/preview.jpg", get(preview))
        .route("/cameras/{number}/snapshot.jpg", get(snapshot));
    Router::new()
        .route("/", get(page))
        .route("/boat.css", get(css))
        .route("/boat.js", get(script))
        .nest("/api/v1", api)
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_text))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "not found") })
        .with_state(boat)
}

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("the boat is starting")]
    Starting,
    #[error("{0}")]
    NotFound(&'static str),
    #[error("camera '{camera}' has no frame: {state}")]
    NoFrame { camera: String, state: String },
    /// The log has the details.
    #[error("internal error; see the log")]
    Internal,
}

impl PageError {
    fn internal(error: impl std::fmt::Display) -> Self {
        tracing::warn!(%error, "page request failed");
        Self::Internal
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Starting | Self::NoFrame { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        text(status, self.to_string())
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    (status, format!("{}\n", body.into())).into_response()
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

/// The latest health document and its age.
fn latest(boat: &Boat) -> Result<(Arc<Health>, Duration), PageError> {
    boat.status.latest().ok_or(PageError::Starting)
}

#[derive(Serialize)]
struct Status<'a> {
    boat: &'a str,
    version: &'static str,
    severity: Severity,
    written_at: &'a str,
    age_seconds: u64,
    frames: u64,
    sightings: u64,
    cameras: Vec<&'a str>,
    items: Vec<StatusItem>,
}

/// The status of each part, and of the program where the document is stale.
fn items(health: &Health, age: Duration) -> Vec<StatusItem> {
    let mut items = status::items(health);
    if age > STALE {
        items.insert(
            0,
            StatusItem {
                severity: Severity::Critical,
                subject: "program".into(),
                message: format!("no status for {} s", age.as_secs()),
            },
        );
    }
    items
}

async fn status(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, age) = latest(&boat)?;
    let items = items(&health, age);
    let status = Status {
        boat: &health.boat,
        version: env!("CARGO_PKG_VERSION"),
        severity: status::worst(&items),
        written_at: &health.written_at,
        age_seconds: age.as_secs(),
        frames: health.frames,
        sightings: health.accepted,
        cameras: health.cameras.iter().map(|c| c.name.as_str()).collect(),
        items,
    };
    Ok(Json(status).into_response())
}

async fn health(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, _) = latest(&boat)?;
    Ok(Json(&*health).into_response())
}

/// A reader without a token gets the status code, and no details.
async fn healthz(
    State(boat): State<Boat>,
    anonymous: Option<Extension<Anonymous>>,
) -> Result<Response, PageError> {
    let (health, age) = latest(&boat)?;
    let critical: Vec<String> = items(&health, age)
        .into_iter()
        .filter(|i| i.severity == Severity::Critical)
        .map(|i| format!("{}: {}", i.subject, i.message))
        .collect();
    Ok(if critical.is_empty() {
        text(StatusCode::OK, "ok")
    } else if anonymous.is_some() {
        text(StatusCode::SERVICE_UNAVAILABLE, "critical")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, critical.join("\n"))
    })
}

async fn metrics_text(State(boat): State<Boat>) -> Result<Response, PageError> {
    let (health, _) = latest(&boat)?;
    let text = metrics::text(&health, &boat.rejections).map_err(PageError::internal)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn sightings(State(boat): State<Boat>) -> Result<Response, PageError> {
    let Some(folder) = boat.status.outbox() else {
        return Ok(Json::<[ListedSighting; 0]>([]).into_response());
    };
    let read = tokio::task::spawn_blocking(move || outbox::recent(&folder, SIGHTINGS));
    let all = read
        .await
        .map_err(PageError::internal)?
        .map_err(PageError::internal)?;
    let all: Vec<ListedSighting> = all.into_iter().map(ListedSighting::of).collect();
    Ok(Json(all).into_response())
}

fn jpeg(file: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, "image/jpeg")], file.into()).into_response()
}

async fn picture(
    State(boat): State<Boat>,
    Path(file): Path<String>,
) -> Result<Response, PageError> {
    let missing = PageError::NotFound("picture not on board");
    let id = file
        .strip_suffix(".jpg")
        .and_then(|id| id.parse::<Uuid>().ok());
    let (Some(id), Some(folder)) = (id, boat.status.outbox()) else {
        return Err(missing);
    };
    let read = tokio::task::spawn_blocking(move || outbox::recent_picture(&folder, id));
    let picture = read
        .await
        .map_err(PageError::internal)?
        .map_err(PageError::internal)?;
    let mut response = jpeg(picture.ok_or(missing)?);
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400, immutable"),
    );
    Ok(response)
}

const NO_CAMERA: PageError = PageError::NotFound("unknown camera");

async fn frame(boat: &Boat, number: &str, kind: Kind) -> Result<(String, Response), PageError> {
    let (health, _) = latest(boat)?;
    let number: usize = number.parse().map_err(|_| NO_CAMERA)?;
    let camera = health.cameras.get(number).ok_or(NO_CAMERA)?;
    let image = boat.previews.jpeg(number, kind).await;
    let image = image.ok_or_else(|| PageError::NoFrame {
        camera: camera.name.clone(),
        state: camera.state.clone(),
    })?;
    Ok((camera.name.clone(), jpeg(image)))
}

async fn preview(
    State(boat): State<Boat>,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let (_, mut response) = frame(&boat, &number, Kind::Preview).await?;
    if let Ok(value) = HeaderValue::from_str(&INTERVAL.as_millis().to_string()) {
        response
            .headers_mut()
            .insert("x-interval-milliseconds", value);
    }
    Ok(response)
}

async fn snapshot(
    State(boat): State<Boat>,
    Path(number): Path<String>,
) -> Result<Response, PageError> {
    let (name, mut response) = frame(&boat, &number, Kind::Snapshot).await?;
    // Only characters that are safe in headers and file names.
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
