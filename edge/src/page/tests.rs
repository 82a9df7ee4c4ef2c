//! The page over real sockets, on loopback with the settings of another address.

use super::serve::PageSettings;
use crate::app_state::AppState;
use crate::config::Config;
use crate::health::{Counters, Health, HealthSources, InputHealth, OutboxHealth, UnrecordedHealth};
use crate::levels::Levels;
use crate::link_budget::LinkHealth;
use crate::machine::MachineHealth;
use crate::page_token::TokenFile;
use crate::stage::Stages;
use flukewatch_common::clock::Timestamp;
use flukewatch_http::Rejection;
use flukewatch_inference::engine::status::EngineStatus;
use flukewatch_test_support::http::{Response, send};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Where other machines can reach it; nothing is bound to this address.
const PUBLIC: &str = "192.0.2.7:8090";

struct Boat {
    folder: tempfile::TempDir,
    state: AppState,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

fn config(folder: &Path, page: &str) -> Config {
    let text = format!(
        "[boat]\nname = \"balaena\"\n[bundle]\npath = \"b\"\nallow_unsigned = true\n[camera]\nsource = \"stills\"\npath = \"frames\"\n\
         [outbox]\npath = \"outbox\"\n[uplink]\nbroker = \"mqtt://127.0.0.1:9\"\n[page]\n{page}\n"
    );
    Config::parse(&text, &folder.join("edge.toml")).unwrap()
}

fn health(cameras: InputHealth) -> Health {
    Health::collect(HealthSources {
        boat: "balaena",
        bundle: "abc",
        signature: None,
        bundle_update: None,
        engine: &EngineStatus::default(),
        detector: None,
        counters: &Counters::default(),
        pending: Default::default(),
        now: Timestamp(0),
        uptime: Duration::ZERO,
        inputs: cameras,
        machine: MachineHealth::default(),
        outbox: OutboxHealth::default(),
        levels: Levels::default(),
        link: LinkHealth::default(),
        stages: Stages::default().health(),
        unrecorded: UnrecordedHealth::default(),
    })
}

impl Boat {
    async fn listening(page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = AppState::default();
        state.status.publish(health(InputHealth::default()));
        let settings = PageSettings::of(&config(folder.path(), page));
        let (server, routes) = settings.app(&state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server.serve(listener, routes, stopped));
        Self {
            folder,
            state,
            address,
            _stop: stop,
        }
    }

    async fn public() -> Self {
        Self::listening(&format!("listen = \"{PUBLIC}\"")).await
    }

    fn file(&self) -> TokenFile {
        TokenFile::of_outbox(&self.folder.path().join("outbox"))
    }

    fn token(&self) -> String {
        self.file().read_or_create().unwrap().as_str().to_owned()
    }

    fn count(&self, rejection: Rejection) -> u64 {
        self.state.page_rejections.count(rejection)
    }

    /// The response to `GET path` with more header `lines`.
    async fn get(&self, path: &str, lines: &str) -> Response {
        let address = self.address;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{lines}Connection: close\r\n\r\n");
        tokio::task::spawn_blocking(move || send(address, &request))
            .await
            .unwrap()
            .unwrap()
    }
}

const PATHS: [&str; 8] = [
    "/",
    "/boat.js",
    "/metrics",
    "/api/v1/status",
    "/api/v1/health",
    "/api/v1/sightings",
    "/api/v1/cameras/0/snapshot.jpg",
    "/unknown",
];

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_nothing_asks_for_a_token() {
    let boat = Boat::listening("listen = \"127.0.0.1:8090\"").await;
    for path in ["/", "/boat.js", "/metrics", "/api/v1/status", "/healthz"] {
        assert_eq!(boat.get(path, "").await.status, 200, "{path}");
    }
    assert!(!boat.file().path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_every_path_asks_for_the_token() {
    let boat = Boat::public().await;
    for path in PATHS {
        let response = boat.get(path, "").await;
        assert_eq!(response.status, 401, "{path}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert_eq!(response.header("x-frame-options"), Some("DENY"));
        assert!(!response.text().contains("balaena"), "{path}");
    }
    assert_eq!(boat.count(Rejection::NoToken), PATHS.len() as u64);
    let bearer = format!("Authorization: Bearer {}\r\n", boat.token());
    for path in [
        "/",
        "/boat.js",
        "/metrics",
        "/api/v1/status",
        "/api/v1/sightings",
    ] {
        assert_eq!(boat.get(path, &bearer).await.status, 200, "{path}");
    }
    assert_eq!(boat.get("/unknown", &bearer).await.status, 404);
    let metrics = boat.get("/metrics", &bearer).await.text();
    let line = "flukewatch_page_rejected_requests_total{reason=\"token_missing\"} 8";
    assert!(metrics.lines().any(|l| l == line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opened_address_becomes_a_cookie() {
    let boat = Boat::public().await;
    let token = boat.token();
    let opened = boat.get(&format!("/?token={token}"), "").await;
    assert_eq!((opened.status, opened.header("location")), (303, Some("/")));
    let cookie = opened.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let cookies = format!("Cookie: theme=dark; {pair}\r\n");
    let page = boat.get("/", &cookies).await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains(&token) && !page.head.contains(&token));
    assert_eq!(boat.get("/api/v1/status", &cookies).await.status, 200);
    // Typed from a screen: in capitals, and o for 0.
    let typed = token.to_uppercase().replace('0', "O");
    assert_eq!(boat.get(&format!("/?token={typed}"), "").await.status, 303);
    // Elsewhere the address holds no token.
    assert_eq!(
        boat.get(&format!("/metrics?token={token}"), "")
            .await
            .status,
        401
    );
    assert_eq!(boat.count(Rejection::WrongToken), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_limited_and_valid_ones_still_pass() {
    let boat = Boat::public().await;
    let token = boat.token();
    let wrong = format!(
        "{}{}",
        &token[..25],
        if token.ends_with('0') { '1' } else { '0' }
    );
    let attempts = [
        format!("Authorization: Bearer {wrong}\r\n"),
        format!("Authorization: Bearer {}\r\n", "x".repeat(5000)),
        "Authorization: Bearer x y\r\n".into(),
        "Cookie: flukewatch_page=\r\n".into(),
        format!("Cookie: flukewatch_page={}\r\n", &token[..25]),
    ];
    for lines in attempts.iter().chain(&attempts) {
        let response = boat.get("/metrics", lines).await;
        assert_eq!(response.status, 401, "{lines}");
    }
    let limited = boat.get(&format!("/?token={wrong}"), "").await;
    assert_eq!(limited.status, 429);
    let pause: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&pause), "{pause}");
    assert_eq!(
        (
            boat.count(Rejection::WrongToken),
            boat.count(Rejection::TooManyTokens)
        ),
        (10, 1)
    );
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(
        boat.get("/", &bearer).await.status,
        200,
        "the crew is not locked out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_token_replaces_the_first_at_once() {
    let boat = Boat::public().await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let first = bearer(&boat.token());
    assert_eq!(boat.get("/", &first).await.status, 200);
    let second = bearer(boat.file().renew().unwrap().as_str());
    assert_eq!(boat.get("/", &first).await.status, 401);
    assert_eq!(boat.get("/", &second).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_token_file_opens_nothing() {
    let boat = Boat::public().await;
    boat.token();
    for content in ["", "\n", "x", "0123"] {
        std::fs::write(boat.file().path(), content).unwrap();
        for lines in [
            "Authorization: Bearer x\r\n".to_owned(),
            "Cookie: flukewatch_page=\r\n".into(),
        ] {
            assert_eq!(boat.get("/", &lines).await.status, 503, "{content:?}");
        }
    }
    assert_eq!(boat.count(Rejection::TokenUnavailable), 8);
    assert_eq!(boat.get("/healthz", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn healthz_without_a_token_gives_no_details() {
    let boat = Boat::public().await;
    assert_eq!(boat.get("/healthz", "").await.text(), "ok\n");
    let mut inputs = InputHealth::default();
    inputs.cameras.push(crate::capture::CameraHealth {
        name: "bow".into(),
        state: "disconnected".into(),
        ..Default::default()
    });
    boat.state.status.publish(health(inputs));
    let bare = boat.get("/healthz", "").await;
    assert_eq!((bare.status, bare.text().as_str()), (503, "critical\n"));
    let bearer = format!("Authorization: Bearer {}\r\n", boat.token());
    let full = boat.get("/healthz", &bearer).await;
    assert_eq!(full.status, 503);
    assert!(full.text().contains("camera bow"), "{}", full.text());
    let wrong = boat.get("/healthz", "Authorization: Bearer x\r\n").await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reads_nothing_even_with_the_token() {
    let boat = Boat::listening(&format!(
        "listen = \"{PUBLIC}\"\nhosts = [\"boat.example\"]"
    ))
    .await;
    let bearer = format!("Authorization: Bearer {}\r\n", boat.token());
    let with_host = async |host: &str| {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{bearer}Connection: close\r\n\r\n");
        let address = boat.address;
        let response = tokio::task::spawn_blocking(move || send(address, &request));
        response.await.unwrap().unwrap().status
    };
    assert_eq!(with_host("evil.example").await, 421);
    assert_eq!(
        with_host(PUBLIC).await,
        421,
        "not the address that it came in on"
    );
    assert_eq!(with_host("boat.example").await, 200);
    assert_eq!(
        with_host(&format!("localhost:{}", boat.address.port())).await,
        200
    );
    assert_eq!(boat.count(Rejection::Host), 2);
}
