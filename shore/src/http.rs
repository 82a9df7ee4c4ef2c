//! The HTTP server: the pages and the JSON API behind common security headers.
//!
//! Everything that a page needs comes from this program, so that it works in a field camp without
//! internet. The templates escape all text, and the content security policy permits no script but
//! shore's own.

use crate::request::AppState;
use crate::{api, pages};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Scripts, styles and pictures from this server only; nothing inline but the favicon.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How long a shutdown waits for requests in progress.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Serves until `shutdown` turns true.
pub(crate) async fn serve(
    listener: TcpListener,
    state: AppState,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut requested = shutdown.clone();
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(async move {
        let _ = requested.changed().await;
    });
    let grace_expired = async {
        let _ = shutdown.changed().await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        result = server => if let Err(error) = result {
            tracing::error!(%error, "HTTP server failed");
        },
        () = grace_expired => {}
    }
}

fn router(state: AppState) -> Router {
    Router::new()
        .nest("/api/v1", api::router())
        .merge(pages::router())
        .fallback(pages::not_found)
        .layer(middleware::from_fn(add_security_headers))
        .with_state(state)
}

async fn add_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
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
