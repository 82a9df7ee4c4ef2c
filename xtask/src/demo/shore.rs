//! The station on shore.

use super::folder::DemoFolder;
use super::http;
use super::sighting::Sighting;
use crate::checkout::Checkout;
use crate::child::Child;
use crate::station::{Broker, Ready, StationProgram};
use anyhow::Context;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;

/// A running station; stopped when dropped.
pub(crate) struct Shore {
    station: StationProgram,
    program: Child,
    ready: Ready,
    shown: HashSet<String>,
}

impl Shore {
    /// Starts a station on free ports, with the catalogue's photos.
    pub(crate) fn start(
        checkout: &Checkout,
        program: &Path,
        folder: &DemoFolder,
        bundle: &Path,
        photos: &Path,
        broker: &Broker,
    ) -> anyhow::Result<Self> {
        let station = StationProgram::in_folder(program.to_owned(), &folder.path(""));
        let log = File::create(folder.path("shore.log"))?;
        let mut serve = station.serve(checkout, broker, log)?;
        serve
            .arg("--bundle")
            .arg(bundle)
            .arg("--photos")
            .arg(photos);
        let mut program = checkout.start(&mut serve)?;
        let ready = station.wait_until_ready(checkout, || program.ended())?;
        println!(
            "    pages at http://{}/, broker at {}",
            ready.http, ready.broker
        );
        Ok(Self {
            station,
            program,
            ready,
            shown: HashSet::new(),
        })
    }

    /// The station's program, for commands on its data folder.
    pub(crate) fn station(&self) -> &StationProgram {
        &self.station
    }

    /// The address of its pages.
    pub(crate) fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// The address of its broker.
    pub(crate) fn broker(&self) -> SocketAddr {
        self.ready.broker
    }

    /// The JSON of `GET /api/v1/...`.
    ///
    /// # Errors
    /// If shore does not answer, or with other JSON than expected.
    pub(crate) fn get<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        let path = format!("/api/v1/{what}");
        let body = http::get(self.ready.http, &path)?;
        serde_json::from_str(&body).with_context(|| format!("unexpected JSON from shore's {path}"))
    }

    /// The stored sightings, by sequence number.
    pub(crate) fn sightings(&self) -> anyhow::Result<Vec<Sighting>> {
        let mut sightings: Vec<Sighting> = self.get("sightings?limit=10000")?;
        sightings.sort_by_key(|s| s.sequence);
        Ok(sightings)
    }

    /// Prints the sightings received since the last call. Returns all.
    pub(crate) fn show_new(&mut self) -> anyhow::Result<Vec<Sighting>> {
        let sightings = self.sightings()?;
        for sighting in &sightings {
            if self.shown.insert(sighting.id.clone()) {
                println!(
                    "    stored sighting {:>2}, camera {}: {sighting}",
                    sighting.sequence, sighting.camera
                );
            }
        }
        Ok(sightings)
    }

    /// Waits until shore ends; an interrupt is an error.
    pub(crate) fn serve(self) -> anyhow::Result<ExitStatus> {
        self.program.wait(|| Ok(()))
    }
}
