//! Asks for the page's token, where other machines can reach the page.
//!
//! A program sends `Authorization: Bearer TOKEN`. A reader opens `/?token=TOKEN` once; the browser then
//! sends a cookie, and the token is in no address that it shows, stores or passes on.
//!
//! Valid tokens always pass. After some wrong ones within a minute further ones get 429. A token of 128 bits
//! cannot be guessed at any rate, and a limit on valid ones would let an attacker lock the crew out.

use crate::page_token::{PageToken, TokenFile};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use flukewatch_http::{Connection, Rejection, Rejections};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the cookie.
const COOKIE: &str = "flukewatch_page";
/// How long a browser remembers the token, in seconds: a year, a season's boat.
const COOKIE_AGE: u32 = 365 * 24 * 3600;
/// Wrong tokens that are answered with 401 in [`WINDOW`], of all clients together.
const MAX_WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// The path that needs no token, for watchdogs.
const OPEN: &str = "/healthz";

/// The request has no token: its response must give no details.
#[derive(Clone, Copy)]
pub(super) struct Anonymous;

/// What decides on a request.
#[derive(Clone)]
struct Access {
    file: Arc<TokenFile>,
    wrong: Arc<Mutex<WrongTokens>>,
    rejections: Arc<Rejections>,
}

/// `routes` behind the token in `file`.
pub(super) fn require_token(
    routes: Router,
    file: TokenFile,
    rejections: Arc<Rejections>,
) -> Router {
    let access = Access {
        file: Arc::new(file),
        wrong: Arc::default(),
        rejections,
    };
    routes.layer(middleware::from_fn_with_state(access, admit))
}

/// Wrong tokens of the current window.
#[derive(Debug, Default)]
struct WrongTokens {
    window: Option<Instant>,
    count: u32,
}

impl WrongTokens {
    /// Counts one. The time until the next window, where there were too many.
    fn add(&mut self, now: Instant) -> Option<Duration> {
        let age = self
            .window
            .map(|start| now.saturating_duration_since(start));
        let age = age.filter(|age| *age < WINDOW);
        if age.is_none() {
            (self.window, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        (self.count > MAX_WRONG).then(|| WINDOW - age.unwrap_or_default())
    }
}

/// The token of a request, as text.
#[derive(Debug, PartialEq, Eq)]
enum Presented<'a> {
    /// In the address, which the browser shows.
    Address(&'a str),
    Header(&'a str),
    Nothing,
}

impl<'a> Presented<'a> {
    fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        let query = uri.query().filter(|_| uri.path() == "/");
        let mut parameters = query.into_iter().flat_map(|q| q.split('&'));
        if let Some(token) = parameters.find_map(|p| p.strip_prefix("token=")) {
            return Self::Address(token);
        }
        let bearer = headers.get(header::AUTHORIZATION);
        if let Some(token) = bearer.and_then(bearer_token) {
            return Self::Header(token);
        }
        let cookies = headers.get_all(header::COOKIE).iter();
        let mut cookies = cookies
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'));
        cookies
            .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .map_or(Self::Nothing, Self::Header)
    }
}

fn bearer_token(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn admit(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Connection>();
    let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |c| c.peer.ip());
    let presented = Presented::of(request.uri(), request.headers());
    let (text, is_in_address) = match presented {
        Presented::Address(text) => (text, true),
        Presented::Header(text) => (text, false),
        Presented::Nothing if request.uri().path() == OPEN => {
            request.extensions_mut().insert(Anonymous);
            return next.run(request).await;
        }
        Presented::Nothing => {
            access.rejections.record(Rejection::NoToken, peer, "");
            return unauthorized("this page needs its token");
        }
    };
    let token = PageToken::parse(text);
    let file = access.file.clone();
    let expected = tokio::task::spawn_blocking(move || file.digest()).await;
    let expected = expected
        .map_err(|e| e.to_string())
        .and_then(|digest| digest.map_err(|e| e.to_string()));
    let expected = match expected {
        Ok(expected) => expected,
        Err(error) => {
            access
                .rejections
                .record(Rejection::TokenUnavailable, peer, error);
            let message = "the boat cannot read the page's token; see the log\n";
            return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
        }
    };
    match token.filter(|token| token.digest() == expected) {
        None => access.wrong(peer),
        Some(token) if is_in_address => remembered(&token),
        Some(_) => next.run(request).await,
    }
}

impl Access {
    /// The response to a wrong token.
    fn wrong(&self, peer: IpAddr) -> Response {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = wrong.add(Instant::now());
        drop(wrong);
        let Some(pause) = pause else {
            self.rejections.record(Rejection::WrongToken, peer, "");
            return unauthorized("not this page's token");
        };
        self.rejections.record(Rejection::TooManyTokens, peer, "");
        let seconds = pause.as_secs() + 1;
        let retry = [(header::RETRY_AFTER, seconds.to_string())];
        (
            StatusCode::TOO_MANY_REQUESTS,
            retry,
            "too many wrong tokens\n",
        )
            .into_response()
    }
}

/// The page, with a link: after a link from another site, e.g. a message, a browser sends no cookie.
fn unauthorized(why: &str) -> Response {
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Flukewatch on board</title><p>401: {why}.\n<p>Run <code>flukewatch-edge page-token --config FILE</code> on the boat \
         and open the address that it prints.\n<p><a href=\"/\">Open the page again</a>\n"
    );
    let headers = [
        (header::WWW_AUTHENTICATE, "Bearer"),
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    ];
    (StatusCode::UNAUTHORIZED, headers, page).into_response()
}

/// Has the browser remember the token, and open the page without it in the address.
fn remembered(token: &PageToken) -> Response {
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age={COOKIE_AGE}; HttpOnly; SameSite=Strict",
        token.as_str()
    );
    let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, "/".into())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_from_address_header_or_cookie() {
        let presented = |uri: &str, lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let uri: Uri = uri.parse().unwrap();
            match Presented::of(&uri, &headers) {
                Presented::Address(token) => format!("address {token}"),
                Presented::Header(token) => format!("header {token}"),
                Presented::Nothing => "nothing".into(),
            }
        };
        for (uri, lines, expected) in [
            ("/", &[][..], "nothing"),
            ("/?token=a", &[], "address a"),
            ("/?x=1&token=a&token=b", &[], "address a"),
            ("/?token=", &[("authorization", "Bearer b")], "address "),
            ("/?tokens=a", &[], "nothing"),
            ("/metrics?token=a", &[], "nothing"),
            ("/metrics", &[("authorization", "bearer  b ")], "header b"),
            ("/metrics", &[("authorization", "Basic b")], "nothing"),
            ("/metrics", &[("authorization", "Bearer")], "nothing"),
            (
                "/",
                &[("cookie", "a=1; flukewatch_page=c; b=2")],
                "header c",
            ),
            (
                "/",
                &[("cookie", "a=1"), ("cookie", "flukewatch_page=c")],
                "header c",
            ),
            (
                "/",
                &[("cookie", "xflukewatch_page=c; flukewatch_pages=d")],
                "nothing",
            ),
            (
                "/",
                &[("cookie", "ä; =; ;;"), ("cookie", "flukewatch_page=")],
                "header ",
            ),
            (
                "/",
                &[
                    ("authorization", "Bearer b"),
                    ("cookie", "flukewatch_page=c"),
                ],
                "header b",
            ),
        ] {
            assert_eq!(presented(uri, lines), expected, "{uri} {lines:?}");
        }
    }

    #[test]
    fn wrong_tokens_have_a_budget_a_minute() {
        let start = Instant::now();
        let mut wrong = WrongTokens::default();
        let seconds = |s| start + Duration::from_secs(s);
        for i in 0..10 {
            assert_eq!(wrong.add(seconds(i)), None);
        }
        assert_eq!(wrong.add(seconds(20)), Some(Duration::from_secs(40)));
        assert_eq!(wrong.add(seconds(59)), Some(Duration::from_secs(1)));
        assert_eq!(wrong.add(seconds(60)), None);
    }
}
