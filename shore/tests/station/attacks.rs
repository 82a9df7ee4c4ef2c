//! What an attacker sends to the pages and the API: rejected, and visible in `/api/v1/health`.

use crate::browse::get;
use crate::fixtures::TIMEOUT;
use flukewatch_http::Limits;
use flukewatch_shore::station::{BrokerConfig, Station, StationConfig};
use flukewatch_test_support::http::{Response, send};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

async fn start(data: &Path, limits: Limits) -> Station {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = StationConfig {
        hosts: vec!["station.example".parse().unwrap()],
        http_limits: limits,
        ..StationConfig::new(data.to_owned(), any, BrokerConfig::Embedded(any))
    };
    Station::start(config).await.unwrap()
}

async fn with_host(station: &Station, path: &str, host: &str) -> Response {
    let address = station.http_address();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tokio::task::spawn_blocking(move || send(address, &request))
        .await
        .unwrap()
        .unwrap()
}

/// How often a request was rejected for `reason`.
async fn rejected(station: &Station, reason: &str) -> u64 {
    let health = get(station.http_address(), "/api/v1/health").await.json();
    let counts = health["rejected_requests"].as_array().unwrap();
    let count = counts.iter().find(|c| c["reason"] == reason);
    count.map_or(0, |c| c["total"].as_u64().unwrap())
}

/// Waits until that many were rejected for `reason`.
async fn expect_rejected(station: &Station, reason: &str, count: u64) {
    let started = Instant::now();
    loop {
        let rejected = rejected(station, reason).await;
        if rejected == count {
            return;
        }
        assert!(
            rejected < count && started.elapsed() < TIMEOUT,
            "{reason}: {rejected}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_website_with_a_rebound_name_reads_no_sightings() {
    let data = tempfile::tempdir().unwrap();
    let station = start(data.path(), Limits::default()).await;
    let health = get(station.http_address(), "/api/v1/health").await.json();
    assert_eq!(health["rejected_requests"], serde_json::json!([]));
    let port = station.http_address().port();
    let paths = ["/", "/api/v1/sightings", "/boats", "/unknown"];
    for path in paths {
        let response = with_host(&station, path, &format!("evil.example:{port}")).await;
        assert_eq!(response.status, 421, "{path}");
        assert!(response.header("content-security-policy").is_some());
    }
    expect_rejected(&station, "host", paths.len() as u64).await;
    for host in [
        "station.example",
        &format!("localhost:{port}"),
        &format!("127.0.0.1:{port}"),
    ] {
        assert_eq!(with_host(&station, "/", host).await.status, 200, "{host}");
    }
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_large_and_many_requests_do_not_stop_the_station() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_connections_per_peer: 4,
        head_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let station = start(data.path(), limits).await;
    let address = station.http_address();
    let slow: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: loc");
            stream
        })
        .collect();
    for mut stream in slow {
        let ended = tokio::task::spawn_blocking(move || stream.read(&mut [0; 16]));
        assert!(!ended.await.unwrap().is_ok_and(|n| n > 0));
    }
    expect_rejected(&station, "head_timed_out", 4).await;
    expect_rejected(&station, "too_many_connections_of_peer", 8).await;

    let large = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 99999999\r\n\r\n");
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    for (request, status) in [(large, 413), (head, 431)] {
        let response = tokio::task::spawn_blocking(move || send(address, &request));
        if let Some(response) = response.await.unwrap() {
            assert_eq!(response.status, status);
        }
    }
    expect_rejected(&station, "body_too_large", 1).await;
    expect_rejected(&station, "head_too_large", 1).await;
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_s_form_is_rejected() {
    let data = tempfile::tempdir().unwrap();
    let station = start(data.path(), Limits::default()).await;
    let address = station.http_address();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let response = tokio::task::spawn_blocking(move || send(address, &request));
    assert_eq!(response.await.unwrap().unwrap().status, 403);
    expect_rejected(&station, "cross_origin", 1).await;
    station.shutdown().await;
}
