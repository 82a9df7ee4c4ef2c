//! Errors as JSON.

use crate::request::RequestError;
use axum::Json;
use axum::response::{IntoResponse, Response};

pub(super) struct ApiError(RequestError);

pub(super) type ApiResult<T> = Result<T, ApiError>;

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = self.0.response_parts();
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}
