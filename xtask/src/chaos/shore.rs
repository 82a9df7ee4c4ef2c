//! The station with its broker, and the identities that it makes for boats.

use super::log::Log;
use super::supervised::Supervised;
use super::tally::OnShore;
use crate::checkout::Checkout;
use crate::demo::http;
use crate::station::{Broker, Provision, Ready, START_TIMEOUT, StationProgram};
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Time to shut down.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(30);
/// Exit code of `flukewatch-shore missing` if something is missing.
const MISSING: i32 = 4;

/// A station that is killed and started again.
pub(super) struct Shore {
    station: StationProgram,
    mqtts: SocketAddr,
    program: Supervised,
    log: Log,
}

/// The fields of shore's health document that are used here.
#[derive(Deserialize)]
struct Health {
    sightings: u64,
}

impl Shore {
    /// Starts a station with a broker on a free port, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start, e.g. without mosquitto.
    pub(super) fn start(checkout: &Checkout, folder: &Path) -> anyhow::Result<Self> {
        let mut shore = Self {
            station: StationProgram::in_folder(checkout.built("flukewatch-shore"), folder),
            mqtts: SocketAddr::from(([127, 0, 0, 1], 0)),
            program: Supervised::default(),
            log: Log::new(&folder.join("shore.log")),
        };
        shore.supervise(checkout)?;
        shore.mqtts = shore.wait_until_ready(checkout)?.broker;
        Ok(shore)
    }

    /// The port of its broker.
    pub(super) fn port(&self) -> u16 {
        self.mqtts.port()
    }

    /// Starts it, if it does not run and may. Returns the status of an exit that nobody asked for.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn supervise(&mut self, checkout: &Checkout) -> anyhow::Result<Option<ExitStatus>> {
        let broker = Broker::Mosquitto {
            address: self.mqtts,
            server_name: None,
        };
        let (station, log) = (&self.station, &self.log);
        self.program
            .supervise(checkout, || station.serve(checkout, &broker, log.append()?))
    }

    fn wait_until_ready(&mut self, checkout: &Checkout) -> anyhow::Result<Ready> {
        let Self {
            station, program, ..
        } = self;
        station.wait_until_ready(checkout, || program.has_ended())
    }

    /// The number of its process, if it runs.
    pub(super) fn process(&self) -> Option<u32> {
        self.program.id()
    }

    /// Kills its program for this long; false if it does not run, and only stays down. Its broker ends
    /// with it.
    pub(super) fn kill(&mut self, lasts: Duration) -> bool {
        self.program.kill(Instant::now() + lasts)
    }

    /// Kills its broker; false if none runs.
    pub(super) fn kill_broker(&self) -> bool {
        let folder = self.station.data().join("broker");
        let Some(pid) = fs::read_to_string(folder.join("mosquitto.pid"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(Pid::from_raw)
        else {
            return false;
        };
        // Numbers of processes are used again: only one with this broker's configuration is killed.
        let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
        let config = folder.join("mosquitto.conf");
        let config = config.as_os_str().as_encoded_bytes();
        arguments.is_ok_and(|a| a.split(|byte| *byte == 0).any(|a| a == config))
            && kill_process(pid, Signal::KILL).is_ok()
    }

    /// How many sightings it has stored; `None` while it is down.
    pub(super) fn stored(&self) -> Option<u64> {
        let ready = self
            .program
            .is_running()
            .then(|| self.station.ready())?
            .ok()??;
        let body = http::get(ready.http, "/api/v1/health").ok()?;
        serde_json::from_str::<Health>(&body)
            .ok()
            .map(|h| h.sightings)
    }

    /// Makes an identity for a boat in the new folder `to`, and revokes its former one, if any.
    ///
    /// # Errors
    /// If the program fails.
    pub(super) fn provision(
        &self,
        checkout: &Checkout,
        boat: &str,
        to: &Path,
        replace: bool,
    ) -> anyhow::Result<()> {
        let made = Provision {
            boat,
            to,
            broker: None,
            replace,
        };
        let mut provision = self.station.provision(checkout, &made);
        let log = self.log.append()?;
        provision.stdout(log.try_clone()?).stderr(log);
        checkout
            .run(&mut provision)
            .with_context(|| format!("no identity for {boat}"))
    }

    /// Makes sure that it runs with its broker, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready.
    pub(super) fn recover(&mut self, checkout: &Checkout) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.program.is_running() && begun.elapsed() < START_TIMEOUT {
            self.supervise(checkout)?;
            std::thread::sleep(POLL);
        }
        self.wait_until_ready(checkout).map(drop)
    }

    /// Shuts it down; returns what it has stored of each boat.
    ///
    /// # Errors
    /// If it does not end, or its store cannot be read.
    pub(super) fn stop(&mut self, checkout: &Checkout) -> anyhow::Result<Vec<OnShore>> {
        self.program.signal(Signal::TERM);
        let asked = Instant::now();
        while self.program.has_ended()?.is_none() {
            if asked.elapsed() > STOP_TIMEOUT {
                bail!("the station does not shut down");
            }
            std::thread::sleep(POLL);
        }
        let mut missing = self.station.command(checkout, "missing");
        let out = missing
            .arg("--json")
            .output()
            .context("flukewatch-shore cannot be started")?;
        if !out.status.success() && out.status.code() != Some(MISSING) {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!(
                "the station's store cannot be read ({}): {said}",
                out.status
            );
        }
        serde_json::from_slice(&out.stdout).context("unexpected JSON of flukewatch-shore missing")
    }

    /// Lines of panics in its log.
    pub(super) fn panics(&mut self) -> &[String] {
        self.log.follow();
        self.log.panics()
    }
}
