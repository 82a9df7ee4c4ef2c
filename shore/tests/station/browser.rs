//! The list in a real browser: headless Chromium, where it is installed.

use crate::boat::{Boat, PATIENCE, sample, station};
use crate::browse;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

const EVIL: &str = "<script>document.title='taken'</script>";

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|p| [p.join("chromium"), p.join("chromium-browser")])
        .find(|p| p.is_file())
}

/// The page as a browser has it after its scripts ran for a while.
fn seen(browser: &PathBuf, address: SocketAddr, path: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let run = Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--virtual-time-budget=9000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{address}{path}"))
        .output()
        .unwrap();
    String::from_utf8(run.stdout).unwrap()
}

/// Stands before the station, and has a second sighting stored between the first and the second look at the list.
struct Doorman {
    station: SocketAddr,
    looks: u32,
    boat: Boat,
    second: Sighting,
}

impl Doorman {
    async fn answer(&mut self, path: &str) -> Vec<u8> {
        if path == "/" {
            self.looks += 1;
            if self.looks == 2 {
                self.boat.sighting(&self.second).await;
                self.boat.receipted(1).await;
            }
        }
        let answer = browse::get(self.station, path).await;
        [answer.head.as_bytes(), b"\r\n\r\n", &answer.body].concat()
    }

    /// Listens; the answer is where.
    async fn stand(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let doorman = Arc::new(Mutex::new(self));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let doorman = Arc::clone(&doorman);
                tokio::spawn(async move {
                    let mut line = String::new();
                    BufReader::new(&mut stream)
                        .read_line(&mut line)
                        .await
                        .unwrap();
                    if let Some(path) = line.split(' ').nth(1) {
                        let answer = doorman.lock().await.answer(path).await;
                        let _ = stream.write_all(&answer).await;
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        address
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_keeps_the_list_up_to_date_and_runs_no_foreign_script() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: chromium not installed");
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (mut first, _) = sample::sighting("balaena", 1);
    first.verdict = Verdict::Known { whale: EVIL.into() };
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&first).await;
    boat.receipted(1).await;
    let second = sample::sighting("balaena", 2).0;
    let address = Doorman {
        station: running.http(),
        looks: 0,
        boat,
        second,
    }
    .stand()
    .await;
    let dom = tokio::task::spawn_blocking(move || seen(&browser, address, "/"))
        .await
        .unwrap();
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
    running.stop().await;
}
