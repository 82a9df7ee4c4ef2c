//! What every HTTP handler works with: the shared state, and the error of a request.

use crate::boat_settings::AllSent;
use crate::catalogue_photos::CataloguePhotos;
use crate::health::Health;
use crate::store::{Store, StoreError};
use axum::http::StatusCode;
use flukewatch_common::clock::Clock;
use flukewatch_http::Rejections;
use std::sync::Arc;
use tokio::sync::watch;

/// Shared by all handlers.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) health: Arc<Health>,
    pub(crate) photos: Option<Arc<CataloguePhotos>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts the HTTP requests that were rejected.
    pub(crate) rejections: Arc<Rejections>,
    /// The URL that boats publish to, for display.
    pub(crate) broker: String,
    /// The settings that boats were sent.
    pub(crate) settings: watch::Receiver<Arc<AllSent>>,
}

impl AppState {
    /// The settings that boats were sent last.
    pub(crate) fn sent_settings(&self) -> Arc<AllSent> {
        Arc::clone(&self.settings.borrow())
    }

    /// Runs `read` on a thread that may block.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RequestError> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || read(store.as_ref()))
            .await?
            .map_err(RequestError::Store)
    }
}

/// Why a request cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("page not found")]
    NotFound,
    #[error("{0}")]
    BadRequest(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot render page: {0}")]
    Render(#[from] askama::Error),
    #[error("request task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl RequestError {
    /// The status and a message for the client. Details of an internal error go to the log only.
    pub(crate) fn response_parts(&self) -> (StatusCode, String) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, self.to_string()),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, self.to_string()),
            Self::Store(_) | Self::Render(_) | Self::Task(_) => {
                tracing::error!(error = %self, "request failed");
                let message = "internal error; see shore's log";
                (StatusCode::INTERNAL_SERVER_ERROR, message.into())
            }
        }
    }
}
