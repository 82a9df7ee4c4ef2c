//! The pages and the JSON API.
//!
//! Everything that a page needs comes from this program, so that it works in a field camp without
//! internet. The templates escape all text, and the content security policy permits no script but
//! shore's own.

use crate::request::AppState;
use crate::{api, pages};
use axum::Router;

/// Scripts, styles and pictures from this server only; nothing inline but the favicon.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of all pages and API requests.
pub(crate) fn routes(state: AppState) -> Router {
    Router::new()
        .nest("/api/v1", api::router())
        .merge(pages::router())
        .fallback(pages::not_found)
        .with_state(state)
}
