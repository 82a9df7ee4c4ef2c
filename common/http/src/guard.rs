//! Checks requests before they reach the router.

use crate::connection::Connection;
use crate::cross_origin::is_cross_origin;
use crate::host::{AllowedHosts, HostError};
use crate::limits::Limits;
use crate::rejection::{Rejection, Rejections};
use crate::security_headers;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::error::Error;
use std::sync::Arc;

/// Answers requests with a router, or rejects them.
pub(crate) struct Guard {
    pub(crate) limits: Limits,
    pub(crate) hosts: AllowedHosts,
    pub(crate) content_security_policy: &'static str,
    pub(crate) rejections: Arc<Rejections>,
    pub(crate) routes: TowerToHyperService<Router>,
}

/// A rejected request: why, the response's status, and text for the response and the log.
struct Rejected {
    why: Rejection,
    status: StatusCode,
    message: String,
    detail: String,
}

impl Guard {
    /// The response to a request that came in on `connection`.
    pub(crate) async fn answer(
        &self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response {
        let mut response = match self.check(connection, &request) {
            Ok(()) => self.routed(connection, request).await,
            Err(rejected) => self.rejected(connection, rejected),
        };
        security_headers::add(response.headers_mut(), self.content_security_policy);
        response
    }

    fn check(&self, connection: Connection, request: &Request<Incoming>) -> Result<(), Rejected> {
        self.check_host(connection, request.uri(), request.headers())?;
        if is_cross_origin(request.method(), request.headers()) {
            return Err(Rejected {
                why: Rejection::CrossOrigin,
                status: StatusCode::FORBIDDEN,
                message: "request from another site's page".into(),
                detail: text(request.headers().get(header::ORIGIN)),
            });
        }
        if request.body().size_hint().lower() > self.limits.max_body_bytes as u64 {
            return Err(Rejected {
                why: Rejection::LargeBody,
                status: StatusCode::PAYLOAD_TOO_LARGE,
                message: format!("body larger than {} bytes", self.limits.max_body_bytes),
                detail: text(request.headers().get(header::CONTENT_LENGTH)),
            });
        }
        Ok(())
    }

    fn check_host(
        &self,
        connection: Connection,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Rejected> {
        let mut given = headers.get_all(header::HOST).iter();
        let host = given.next();
        let checked = match (host, given.next()) {
            (Some(host), None) => self.hosts.check(host.as_bytes(), connection.local),
            _ => Err(HostError::Malformed),
        };
        // A request to a proxy names the host in its first line as well.
        let checked = checked.and_then(|()| match uri.authority() {
            Some(authority) => self
                .hosts
                .check(authority.as_str().as_bytes(), connection.local),
            None => Ok(()),
        });
        checked.map_err(|error| Rejected {
            why: Rejection::Host,
            status: match error {
                HostError::Malformed => StatusCode::BAD_REQUEST,
                HostError::Unknown => StatusCode::MISDIRECTED_REQUEST,
            },
            message: error.to_string(),
            detail: text(host),
        })
    }

    fn rejected(&self, connection: Connection, rejected: Rejected) -> Response {
        let Rejected {
            why,
            status,
            message,
            detail,
        } = rejected;
        self.rejections.record(why, connection.peer.ip(), detail);
        (status, format!("{message}\n")).into_response()
    }

    /// The router's response to a request that passed the checks.
    async fn routed(&self, connection: Connection, request: Request<Incoming>) -> Response {
        let mut request = request.map(|body| self.limited(connection, body));
        request.extensions_mut().insert(connection);
        let path = request.uri().path().to_owned();
        let response = self.routes.call(request);
        match tokio::time::timeout(self.limits.request_timeout, response).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => self.rejected(
                connection,
                Rejected {
                    why: Rejection::SlowRequest,
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    message: "request timed out".into(),
                    detail: path,
                },
            ),
        }
    }

    /// `body`, whose reader gets an error once it is too large.
    fn limited(&self, connection: Connection, body: Incoming) -> Body {
        let rejections = self.rejections.clone();
        let counted = move |error: Box<dyn Error + Send + Sync>| {
            if error.is::<LengthLimitError>() {
                let peer = connection.peer.ip();
                rejections.record(Rejection::LargeBody, peer, "chunked");
            }
            error
        };
        Body::new(Limited::new(body, self.limits.max_body_bytes).map_err(counted))
    }
}

/// A header's value for the log.
fn text(value: Option<&HeaderValue>) -> String {
    value.map_or_else(String::new, |v| {
        String::from_utf8_lossy(v.as_bytes()).into_owned()
    })
}
