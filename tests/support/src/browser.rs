//! Headless Chromium.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(40);

/// An installed Chromium.
#[derive(Clone, Debug)]
pub struct Browser {
    program: PathBuf,
}

impl Browser {
    /// The Chromium of `PATH`; without one, says that the test is skipped and returns `None`.
    pub fn installed() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .flat_map(|p| [p.join("chromium"), p.join("chromium-browser")])
            .find(|p| p.is_file());
        if program.is_none() {
            eprintln!("skipped: chromium not installed");
        }
        program.map(|program| Self { program })
    }

    /// The DOM of `http://address/path` after its scripts have run for `virtual_time`, which passes faster
    /// than real time.
    ///
    /// # Panics
    /// When Chromium cannot be started or prints no UTF-8.
    pub fn dom(&self, address: SocketAddr, path: &str, virtual_time: Duration) -> String {
        let profile = tempfile::tempdir().unwrap();
        let run = Command::new("timeout")
            .arg(TIMEOUT.as_secs().to_string())
            .arg(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--dump-dom",
            ])
            .arg(format!(
                "--virtual-time-budget={}",
                virtual_time.as_millis()
            ))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{address}{path}"))
            .output()
            .unwrap();
        String::from_utf8(run.stdout).unwrap()
    }
}
