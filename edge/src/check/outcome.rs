//! The result of checking one part.

use serde::Serialize;

/// The result of checking one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// `config`, `settings`, `bundle`, `model`, `detector`, `engine`, `camera`, `position` or `outbox`.
    pub part: &'static str,
    /// Whether it will work.
    pub ok: bool,
    /// The finding, or the error with its location.
    pub message: String,
}

impl CheckResult {
    pub(super) fn pass(part: &'static str, message: impl Into<String>) -> Self {
        Self {
            part,
            ok: true,
            message: message.into(),
        }
    }

    pub(super) fn fail(part: &'static str, error: impl std::fmt::Display) -> Self {
        Self {
            part,
            ok: false,
            message: error.to_string(),
        }
    }
}
