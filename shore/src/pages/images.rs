//! Pictures of sightings and photos of the catalogue.

use super::error::PageResult;
use crate::request::{AppState, RequestError};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use uuid::Uuid;

/// Serves only pictures that were received as announced and decode.
pub(super) async fn picture(State(state): State<AppState>, Path(file): Path<String>) -> PageResult {
    let id: Option<Uuid> = file.strip_suffix(".jpg").and_then(|id| id.parse().ok());
    let id = id.ok_or(RequestError::NotFound)?;
    let jpeg = state.with_store(move |s| s.picture(id)).await?;
    let jpeg = jpeg.ok_or(RequestError::NotFound)?;
    // A picture never changes once it is stored as announced.
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        ),
    ];
    Ok((headers, jpeg).into_response())
}

pub(super) async fn photo(State(state): State<AppState>, Path(name): Path<String>) -> PageResult {
    let photos = state.photos.ok_or(RequestError::NotFound)?;
    let read = tokio::task::spawn_blocking(move || photos.read(&name)).await?;
    let photo = read.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read catalogue photo");
        None
    });
    let photo = photo.ok_or(RequestError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, photo.media_type),
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, photo.bytes).into_response())
}
