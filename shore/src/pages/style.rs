//! The stylesheet and the script, compiled in.

use axum::http::header;
use axum::response::IntoResponse;

/// `GET /assets/shore.css`
pub(super) async fn css() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../assets/shore.css"),
    )
}

/// `GET /assets/live.js`
pub(super) async fn script() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        include_str!("../../assets/live.js"),
    )
}
