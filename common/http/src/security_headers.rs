//! The headers that every response has.

use axum::http::{HeaderMap, HeaderValue, header};

/// Adds them. `content_security_policy` says what the page may load.
pub(crate) fn add(headers: &mut HeaderMap, content_security_policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, content_security_policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Pictures cannot be embedded in another site's page.
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
