//! The station on shore.

use super::folder::DemoFolder;
use super::http;
use super::sighting::Sighting;
use crate::checkout::Checkout;
use crate::child::Child;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running station; stopped when dropped.
pub(crate) struct Shore {
    program: Child,
    ready: Ready,
    shown: HashSet<String>,
}

/// The line that `flukewatch-shore serve` prints once it is ready.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Ready {
    http: SocketAddr,
    mqtt: SocketAddr,
}

impl Shore {
    /// Starts a station on free ports, with the catalogue's photos.
    pub(crate) fn start(
        checkout: &Checkout,
        program: &Path,
        folder: &DemoFolder,
        bundle: &Path,
        photos: &Path,
    ) -> anyhow::Result<Self> {
        let (stdout, log) = (folder.path("shore.out"), folder.path("shore.log"));
        let mut serve = checkout.program(program);
        serve.arg("serve").arg("--data").arg(folder.path("shore"));
        serve.args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        serve
            .arg("--bundle")
            .arg(bundle)
            .arg("--photos")
            .arg(photos);
        serve
            .env("NO_COLOR", "1")
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&log)?);
        let mut program = checkout.start(&mut serve)?;
        let started = Instant::now();
        let ready = loop {
            if let Some((line, _)) = fs::read_to_string(&stdout)?.split_once('\n') {
                break serde_json::from_str::<Ready>(line)
                    .with_context(|| format!("unexpected ready line of shore: '{line}'"))?;
            }
            if let Some(status) = program.ended()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("shore did not start ({status}):\n{log}");
            }
            if started.elapsed() > START_TIMEOUT {
                bail!(
                    "shore not ready after {} s; see {}",
                    START_TIMEOUT.as_secs(),
                    log.display()
                );
            }
            checkout.interrupt().check()?;
            std::thread::sleep(Duration::from_millis(20));
        };
        println!(
            "    pages at http://{}/, broker at {}",
            ready.http, ready.mqtt
        );
        Ok(Self {
            program,
            ready,
            shown: HashSet::new(),
        })
    }

    /// The address of its pages.
    pub(crate) fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// The address of its broker.
    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.ready.mqtt
    }

    /// The stored sightings, by sequence number.
    pub(crate) fn sightings(&self) -> anyhow::Result<Vec<Sighting>> {
        let body = http::get(self.ready.http, "/api/v1/sightings?limit=10000")?;
        let mut sightings: Vec<Sighting> = serde_json::from_str(&body)
            .context("unexpected JSON from shore's /api/v1/sightings")?;
        sightings.sort_by_key(|s| s.sequence);
        Ok(sightings)
    }

    /// Prints the sightings received since the last call.
    pub(crate) fn show_new(&mut self) -> anyhow::Result<()> {
        for sighting in self.sightings()? {
            if self.shown.insert(sighting.id.clone()) {
                println!(
                    "    stored sighting {:>2}, camera {}: {sighting}",
                    sighting.sequence, sighting.camera
                );
            }
        }
        Ok(())
    }

    /// Waits until shore ends; an interrupt is an error.
    pub(crate) fn serve(self) -> anyhow::Result<ExitStatus> {
        self.program.wait(|| Ok(()))
    }
}
