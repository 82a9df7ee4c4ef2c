//! The list in a browser: headless Chromium, where it is installed.

use crate::browse;
use crate::fixtures::{Boat, sample, start_station};
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use flukewatch_test_support::browser::Browser;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

const SCRIPT_NAME: &str = "<script>document.title='taken'</script>";

/// A proxy before the station that has a second sighting stored between the first and the second
/// request of the list.
struct TestProxy {
    station: SocketAddr,
    requests: u32,
    boat: Boat,
    second: Sighting,
}

impl TestProxy {
    async fn respond(&mut self, path: &str) -> Vec<u8> {
        if path == "/" {
            self.requests += 1;
            if self.requests == 2 {
                self.boat.send_sighting(&self.second).await;
                self.boat.expect_acks(1).await;
            }
        }
        let response = browse::get(self.station, path).await;
        [response.head.as_bytes(), b"\r\n\r\n", &response.body].concat()
    }

    /// Starts listening; returns the address.
    async fn listen(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Arc::new(Mutex::new(self));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move {
                    let mut line = String::new();
                    BufReader::new(&mut stream)
                        .read_line(&mut line)
                        .await
                        .unwrap();
                    if let Some(path) = line.split(' ').nth(1) {
                        let response = proxy.lock().await.respond(path).await;
                        let _ = stream.write_all(&response).await;
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        address
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_updates_in_the_browser_and_runs_no_injected_script() {
    let Some(browser) = Browser::installed() else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (mut first, _) = sample::sighting("balaena", 1);
    first.verdict = Verdict::Known {
        whale: SCRIPT_NAME.into(),
    };
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&first).await;
    boat.expect_acks(1).await;
    let second = sample::sighting("balaena", 2).0;
    let address = TestProxy {
        station: station.http_address(),
        requests: 0,
        boat,
        second,
    }
    .listen()
    .await;
    let dom = move || browser.dom(address, "/", Duration::from_secs(9));
    let dom = tokio::task::spawn_blocking(dom).await.unwrap();
    assert!(
        dom.contains("<title>Sightings · Flukewatch shore</title>"),
        "{dom}"
    );
    assert!(
        dom.contains("&lt;script&gt;document.title='taken'"),
        "{dom}"
    );
    assert!(
        dom.contains("2 sightings, newest first") && dom.contains("balaena #2"),
        "{dom}"
    );
    station.shutdown().await;
}
