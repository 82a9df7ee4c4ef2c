//! The station on shore, while the demo runs.

use super::folder::DemoFolder;
use super::http;
use super::sighting::Sighting;
use crate::child::Child;
use crate::workshop::Workshop;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long shore may take to start.
const START: Duration = Duration::from_secs(60);

/// A running station. Dropped, it is ended.
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
    /// Starts `program`, the station's, on free ports, with the catalogue's photos to compare with.
    pub(crate) fn start(
        workshop: &Workshop,
        program: &Path,
        folder: &DemoFolder,
        bundle: &Path,
        photos: &Path,
    ) -> anyhow::Result<Self> {
        let (said, log) = (folder.path("shore.out"), folder.path("shore.log"));
        let mut serve = workshop.program(program);
        serve.arg("serve").arg("--data").arg(folder.path("shore"));
        serve.args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        serve
            .arg("--bundle")
            .arg(bundle)
            .arg("--photos")
            .arg(photos);
        serve
            .env("NO_COLOR", "1")
            .stdout(File::create(&said)?)
            .stderr(File::create(&log)?);
        let mut program = workshop.start(&mut serve)?;
        let began = Instant::now();
        let ready = loop {
            if let Some((line, _)) = fs::read_to_string(&said)?.split_once('\n') {
                break serde_json::from_str::<Ready>(line)
                    .with_context(|| format!("shore said '{line}' instead of its addresses"))?;
            }
            if let Some(status) = program.ended()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("shore did not start ({status}):\n{log}");
            }
            if began.elapsed() > START {
                bail!(
                    "shore is not ready after {} s; see {}",
                    START.as_secs(),
                    log.display()
                );
            }
            workshop.interrupt().check()?;
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

    /// Where the pages are.
    pub(crate) fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// Where boats publish.
    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.ready.mqtt
    }

    /// What is stored, oldest first.
    pub(crate) fn sightings(&self) -> anyhow::Result<Vec<Sighting>> {
        let body = http::get(self.ready.http, "/api/sightings?limit=10000")?;
        let mut sightings: Vec<Sighting> =
            serde_json::from_str(&body).context("shore's list of sightings is not as expected")?;
        sightings.sort_by_key(|s| s.sequence);
        Ok(sightings)
    }

    /// Prints the sightings that have come since the last call.
    pub(crate) fn show_new(&mut self) -> anyhow::Result<()> {
        for sighting in self.sightings()? {
            if self.shown.insert(sighting.id.clone()) {
                println!(
                    "    shore has sighting {:>2}, camera {}: {sighting}",
                    sighting.sequence, sighting.camera
                );
            }
        }
        Ok(())
    }

    /// Serves until it is interrupted, which is an error.
    pub(crate) fn serve(self) -> anyhow::Result<ExitStatus> {
        self.program.wait(|| Ok(()))
    }
}
