//! What can end a session.

use crate::models::ModelsError;
use crate::outbox::OutboxError;
use crate::pipeline::PipelineError;
use crate::source::SourceError;
use crate::uplink::BrokerError;
use flukewatch_common::sighting::InvalidBoatId;

/// Why a session cannot start, or failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The models cannot be loaded.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The frame source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A stage of the pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The boat's name is invalid; the configuration's check rejects it earlier.
    #[error(transparent)]
    Boat(#[from] InvalidBoatId),
    /// The broker's password cannot be read, or its URL is invalid.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The operating system cannot provide a thread or random numbers.
    #[error("the operating system cannot {what}: {why}")]
    System {
        /// What the operating system cannot do.
        what: &'static str,
        /// The error of the operating system.
        why: String,
    },
}

impl SessionError {
    pub(super) fn thread(error: &std::io::Error) -> Self {
        Self::System {
            what: "start a thread",
            why: error.to_string(),
        }
    }
}
