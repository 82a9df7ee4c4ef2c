//! The list in a real browser: headless Chromium, where it is installed.

use crate::boat::{Boat, PATIENCE, sample, station};
use flukewatch_common::decision::Verdict;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

const EVIL: &str = "<script>document.title='taken'</script>";

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).flat_map(|p| [p.join("chromium"), p.join("chromium-browser")]).find(|p| p.is_file())
}

/// The page as a browser has it after its scripts ran for a while.
fn seen(browser: &PathBuf, address: SocketAddr, path: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let run = Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args(["--disable-sync", "--disable-dev-shm-usage", "--virtual-time-budget=9000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{address}{path}"))
        .output()
        .unwrap();
    String::from_utf8(run.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_list_and_runs_no_foreign_script() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: chromium not installed");
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (mut s, _) = sample::sighting("balaena", 1);
    s.verdict = Verdict::Known { whale: EVIL.into() };
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&s).await;
    boat.receipted(1).await;
    let address = running.http();
    let dom = tokio::task::spawn_blocking(move || seen(&browser, address, "/")).await.unwrap();
    assert!(dom.contains("<title>Sightings · Flukewatch shore</title>"), "{dom}");
    assert!(dom.contains("&lt;script&gt;document.title='taken'"), "{dom}");
    running.stop().await;
}
