//! Error pages.

use crate::request::RequestError;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

pub(super) struct PageError(RequestError);

pub(super) type PageResult = Result<Response, PageError>;

impl<E: Into<RequestError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    title: &'static str,
    detail: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, detail) = self.0.response_parts();
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::BAD_REQUEST => "Bad request",
            _ => "Internal error",
        };
        match (ErrorPage { title, detail }).render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(_) => status.into_response(),
        }
    }
}

/// Renders a template as a page.
pub(super) fn render(template: &impl Template) -> PageResult {
    Ok(Html(template.render()?).into_response())
}

pub(crate) async fn not_found() -> Response {
    PageError(RequestError::NotFound).into_response()
}
