//! What an attacker sends, over real sockets: rejected, counted, and without harm to others.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use flukewatch_http::{AllowedHosts, HttpServer, Limits, Rejection, Rejections};
use flukewatch_test_support::http::{self, Response, send};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time after which a test fails.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A timeout of the server that a test lets pass.
const SHORT: Duration = Duration::from_millis(150);
/// The size of a response that no socket buffers hold.
const LARGE: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    rejections: Arc<Rejections>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let routes = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/echo", post(|body: Bytes| async move { body }))
            .route("/large", get(|| async { vec![b'x'; LARGE] }))
            .route("/never", get(std::future::pending::<&'static str>))
            .route(
                "/soon",
                get(|| async {
                    tokio::time::sleep(SHORT).await;
                    "soon"
                }),
            )
            .fallback(|| async { "fallback" });
        let rejections = Arc::new(Rejections::default());
        let server = HttpServer {
            limits,
            hosts: AllowedHosts::new(Some("balaena"), vec!["boat.example".parse().unwrap()]),
            content_security_policy: "default-src 'none'",
            rejections: rejections.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, requested) = watch::channel(false);
        let task = tokio::spawn(server.serve(listener, routes, requested));
        Self {
            address,
            rejections,
            shutdown,
            task,
        }
    }

    fn count(&self, rejection: Rejection) -> u64 {
        self.rejections.count(rejection)
    }

    /// The counts that are not zero.
    fn counts(&self) -> Vec<(Rejection, u64)> {
        self.rejections.counts().filter(|(_, n)| *n > 0).collect()
    }

    async fn wait_for(&self, rejection: Rejection, count: u64) {
        let started = Instant::now();
        while self.count(rejection) < count {
            assert!(started.elapsed() < TIMEOUT, "{:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The response to these bytes.
    async fn send(&self, request: String) -> Option<Response> {
        let address = self.address;
        tokio::task::spawn_blocking(move || send(address, &request))
            .await
            .unwrap()
    }

    /// The response to a request with these lines after its first one.
    async fn ask(&self, first: &str, lines: &str) -> Response {
        let request = format!("{first}\r\n{lines}Connection: close\r\n\r\n");
        self.send(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        let (address, path) = (self.address, path.to_owned());
        tokio::task::spawn_blocking(move || http::get(address, &path))
            .await
            .unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }
}

/// Waits until the server has closed the connection; what it sent.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let read = move || {
        let mut bytes = vec![];
        match stream.read_to_end(&mut bytes) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("never closed")
            }
            _ => bytes,
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn has_security_headers(response: &Response) {
    for (name, value) in [
        ("content-security-policy", "default-src 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(response.header(name), Some(value), "{}", response.head);
    }
}

/// A website whose name is made to point at this machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reads_nothing() {
    let server = Server::start(Limits::default()).await;
    let port = server.address.port();
    let mut rejected = 0;
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("192.168.1.5:{port}"),
        "localhost:1".into(),
    ] {
        let response = server
            .ask("GET / HTTP/1.1", &format!("Host: {host}\r\n"))
            .await;
        assert_eq!(response.status, 421, "{host}");
        assert!(!response.text().contains("hello"), "{host}");
        has_security_headers(&response);
        rejected += 1;
        assert_eq!(server.count(Rejection::Host), rejected);
    }
    for host in [
        format!("localhost:{port}"),
        format!("LOCALHOST:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("balaena.local:{port}"),
        "boat.example".into(),
        "boat.example:443".into(),
    ] {
        let response = server
            .ask("GET / HTTP/1.1", &format!("Host: {host}\r\n"))
            .await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "hello"),
            "{host}"
        );
        has_security_headers(&response);
    }
    assert_eq!(server.counts(), [(Rejection::Host, rejected)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_needs_exactly_one_host() {
    let server = Server::start(Limits::default()).await;
    let own = format!("Host: {}\r\n", server.address);
    for (first, lines) in [
        ("GET / HTTP/1.1", String::new()),
        ("GET / HTTP/1.0", String::new()),
        ("GET / HTTP/1.1", format!("{own}{own}")),
        ("GET / HTTP/1.1", format!("{own}Host: evil.example\r\n")),
        ("GET / HTTP/1.1", "Host:\r\n".into()),
        (
            "GET / HTTP/1.1",
            format!("Host: user@{}\r\n", server.address),
        ),
        (
            "GET / HTTP/1.1",
            format!("Host: {},evil.example\r\n", server.address),
        ),
    ] {
        let response = server.ask(first, &lines).await;
        assert_eq!(response.status, 400, "{first} {lines}");
        assert!(!response.text().contains("hello"));
    }
    let proxied = server.ask("GET http://evil.example/ HTTP/1.1", &own).await;
    assert_eq!(proxied.status, 421);
    assert_eq!(server.count(Rejection::Host), 8);
    let first = format!("GET http://{}/ HTTP/1.1", server.address);
    assert_eq!(server.ask(&first, &own).await.status, 200);
    assert_eq!(server.ask("GET / HTTP/1.0", &own).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_change_anything() {
    let server = Server::start(Limits::default()).await;
    let own = format!("Host: {}\r\nContent-Length: 2\r\n", server.address);
    let posted = async |lines: &str| {
        let request = format!("POST /echo HTTP/1.1\r\n{own}{lines}Connection: close\r\n\r\nhi");
        server.send(request).await.unwrap()
    };
    for lines in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
    ] {
        let response = posted(lines).await;
        assert_eq!(response.status, 403, "{lines}");
        has_security_headers(&response);
    }
    assert_eq!(server.counts(), [(Rejection::CrossOrigin, 4)]);
    for lines in [
        String::new(),
        "Sec-Fetch-Site: same-origin\r\n".into(),
        format!("Origin: http://{}\r\n", server.address),
    ] {
        let response = posted(&lines).await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "hi"),
            "{lines}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_cut() {
    let server = Server::start(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: 127").unwrap();
    assert_eq!(closed(slow).await, b"");
    server.wait_for(Rejection::SlowHead, 1).await;
    // Drip by drip, each in time, but not the whole.
    let mut slow = server.connect();
    let started = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nX: ".iter().cycle() {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(SHORT / 10).await;
    }
    server.wait_for(Rejection::SlowHead, 2).await;
    // The second request of a connection, too.
    let mut slow = server.connect();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    slow.write_all(request.as_bytes()).unwrap();
    slow.read_exact(&mut [0; 15]).unwrap();
    slow.write_all(b"GET /").unwrap();
    closed(slow).await;
    server.wait_for(Rejection::SlowHead, 3).await;
}

/// A browser keeps connections for later: no attack, but they are closed.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_not_counted() {
    let server = Server::start(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    assert_eq!(closed(server.connect()).await, b"");
    let mut kept = server.connect();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    kept.write_all(request.as_bytes()).unwrap();
    let answered = String::from_utf8(closed(kept).await).unwrap();
    assert!(answered.ends_with("hello"), "{answered}");
    assert_eq!(server.counts(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_cut() {
    let server = Server::start(Limits {
        request_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut slow = server.connect();
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\nab",
        server.address
    );
    slow.write_all(request.as_bytes()).unwrap();
    let response = String::from_utf8(closed(slow).await).unwrap();
    assert!(response.starts_with("HTTP/1.1 503"), "{response}");
    server.wait_for(Rejection::SlowRequest, 1).await;
    assert_eq!(server.get("/never").await.status, 503);
    assert_eq!(server.counts(), [(Rejection::SlowRequest, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_cut() {
    let server = Server::start(Limits {
        write_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut lazy = server.connect();
    let request = format!("GET /large HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    lazy.write_all(request.as_bytes()).unwrap();
    server.wait_for(Rejection::SlowReader, 1).await;
    assert!(closed(lazy).await.len() < LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_a_maximum_age() {
    let server = Server::start(Limits {
        max_connection_age: SHORT,
        request_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let started = Instant::now();
    let mut busy = server.connect();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    while busy.write_all(request.as_bytes()).is_ok()
        && busy.read(&mut [0; 4096]).is_ok_and(|n| n > 0)
    {
        assert!(started.elapsed() < TIMEOUT);
    }
    assert!(started.elapsed() >= SHORT / 2);
    // One that takes a little at a time is cut as well.
    let mut lazy = server.connect();
    let request = format!("GET /large HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    lazy.write_all(request.as_bytes()).unwrap();
    lazy.set_nonblocking(true).unwrap();
    while server.count(Rejection::SlowReader) == 0 {
        let _ = lazy.read(&mut [0; 1000]);
        assert!(started.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_cannot_take_all_connections() {
    let server = Server::start(Limits {
        max_connections: 3,
        max_connections_per_peer: 2,
        ..Limits::default()
    })
    .await;
    let from = async |source: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        let stream = socket
            .connect(server.address)
            .await
            .unwrap()
            .into_std()
            .unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    };
    let answers = async |mut stream: TcpStream| {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            server.address
        );
        let _ = stream.write_all(request.as_bytes());
        String::from_utf8(closed(stream).await)
            .unwrap()
            .ends_with("hello")
    };
    let held = [from("127.0.0.1").await, from("127.0.0.1").await];
    assert!(!answers(from("127.0.0.1").await).await);
    assert_eq!(server.counts(), [(Rejection::PeerConnections, 1)]);
    assert!(answers(from("127.0.0.2").await).await, "others are served");
    let last = from("127.0.0.2").await;
    assert!(!answers(from("127.0.0.3").await).await);
    assert_eq!(
        server.counts(),
        [(Rejection::Connections, 1), (Rejection::PeerConnections, 1)]
    );
    drop((held, last));
    let started = Instant::now();
    while !answers(from("127.0.0.1").await).await {
        assert!(started.elapsed() < TIMEOUT, "slots are free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_malformed_requests_are_rejected() {
    let server = Server::start(Limits {
        max_head_bytes: 8192,
        max_headers: 20,
        max_body_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let host = format!("Host: {}\r\n", server.address);
    let long = "x".repeat(9_000);
    let many: String = (0..30).map(|i| format!("X-{i}: y\r\n")).collect();
    for (request, status, why) in [
        (
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
            431,
            Rejection::LargeHead,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"),
            431,
            Rejection::LargeHead,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}{many}\r\n"),
            431,
            Rejection::LargeHead,
        ),
        (
            format!(
                "POST /echo HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: 1001\r\n\r\n{}",
                &long[..1001]
            ),
            413,
            Rejection::LargeBody,
        ),
        (
            format!("POST /echo HTTP/1.1\r\n{host}Content-Length: 9999999999999\r\n\r\n"),
            413,
            Rejection::LargeBody,
        ),
        (
            format!(
                "POST /echo HTTP/1.1\r\n{host}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
                &long[..1001]
            ),
            413,
            Rejection::LargeBody,
        ),
        ("\0\u{1}\u{2}\r\n\r\n".to_owned(), 400, Rejection::Malformed),
        (
            "GET / HTTP/9.9\r\n\r\n".to_owned(),
            400,
            Rejection::Malformed,
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Content-Length: x\r\n\r\n"),
            400,
            Rejection::Malformed,
        ),
        (
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
            400,
            Rejection::Malformed,
        ),
    ] {
        let before = server.count(why);
        let shown: String = request.chars().take(60).collect();
        if let Some(response) = server.send(request).await {
            assert_eq!(response.status, status, "{shown}");
        }
        server.wait_for(why, before + 1).await;
    }
    let body = "y".repeat(1000);
    let request = format!(
        "POST /echo HTTP/1.1\r\n{host}Content-Length: 1000\r\nConnection: close\r\n\r\n{body}"
    );
    let response = server.send(request).await.unwrap();
    assert_eq!((response.status, response.text()), (200, body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_what_is_in_progress() {
    let server = Server::start(Limits::default()).await;
    let idle = server.connect();
    let mut busy = server.connect();
    let request = format!("GET /soon HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    busy.write_all(request.as_bytes()).unwrap();
    tokio::time::sleep(SHORT / 3).await;
    server.shutdown.send_replace(true);
    let answered = String::from_utf8(closed(busy).await).unwrap();
    assert!(answered.ends_with("soon"), "{answered}");
    assert_eq!(closed(idle).await, b"");
    tokio::time::timeout(TIMEOUT, server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(server.address).is_err(),
        "the port is free"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_ever() {
    let server = Server::start(Limits {
        shutdown_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stuck = server.connect();
    let request = format!("GET /never HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stuck.write_all(request.as_bytes()).unwrap();
    assert_eq!(server.get("/").await.status, 200);
    server.shutdown.send_replace(true);
    tokio::time::timeout(TIMEOUT, server.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(closed(stuck).await, b"");
}
