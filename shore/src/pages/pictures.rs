//! The pictures of the sightings.

use super::Pages;
use super::error::PageError;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

/// `GET /pictures/{id}.jpg`: only what arrived as announced and decodes.
pub(super) async fn picture(
    State(pages): State<Pages>,
    Path(file): Path<String>,
) -> Result<Response, PageError> {
    let id: Option<Uuid> = file.strip_suffix(".jpg").and_then(|id| id.parse().ok());
    let id = id.ok_or(PageError::NotFound)?;
    let jpeg = pages
        .ask(move |s| s.picture(id))
        .await?
        .ok_or(PageError::NotFound)?;
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
