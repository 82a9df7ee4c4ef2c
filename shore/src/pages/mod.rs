//! The pages and the JSON API.
//!
//! | address | what |
//! |---|---|
//! | `/` | sightings, newest first; `?boat=&verdict=&page=` |
//! | `/sightings/{id}` | one sighting beside its candidates |
//! | `/boats` | boats, their gaps, when they were last heard |
//! | `/refused` | messages that were not stored |
//! | `/pictures/{id}.jpg` | the picture of a sighting |
//! | `/photos/{name}` | a photo of the catalogue, where shore was started with one |
//! | `/api/..` | JSON, see [`api`] |
//!
//! Everything that a page needs comes from this program, so that it works in a field camp without internet. All text is escaped by
//! the templates, and the content security policy allows no script but ours.

pub mod api;
mod boats;
mod error;
mod photos;
mod pictures;
mod refused;
mod sighting;
mod sightings;
mod style;
mod wording;

pub use photos::{Photos, PhotosError};

use crate::health::Health;
use crate::store::{Store, StoreError};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use error::PageError;
use flukewatch_common::clock::Clock;
use std::sync::Arc;

/// Scripts, styles and pictures from here only, nothing inline but the favicon.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// The sightings.
    pub store: Arc<dyn Store>,
    /// How ingest fares.
    pub health: Arc<Health>,
    /// The catalogue's photos, where there are any.
    pub photos: Option<Arc<Photos>>,
    /// The time, for "so long ago".
    pub clock: Arc<dyn Clock>,
    /// Where boats publish, to be shown to people.
    pub broker: String,
}

impl Pages {
    /// All routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(sightings::page))
            .route("/sightings/{id}", get(sighting::page))
            .route("/boats", get(boats::page))
            .route("/refused", get(refused::page))
            .route("/pictures/{file}", get(pictures::picture))
            .route("/photos/{*name}", get(photos::photo))
            .route("/assets/shore.css", get(style::css))
            .route("/assets/live.js", get(style::script))
            .route("/api/sightings", get(api::sightings))
            .route("/api/sightings/{id}", get(api::sighting))
            .route("/api/boats", get(api::boats))
            .route("/api/refused", get(api::refused))
            .route("/api/health", get(api::health))
            .fallback(|| async { PageError::NotFound.into_response() })
            .layer(middleware::from_fn(protect))
            .with_state(self)
    }

    /// Asks the store on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PageError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || question(store.as_ref()))
            .await?
            .map_err(PageError::Store)
    }
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
