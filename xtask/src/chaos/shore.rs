//! The station with its broker, and the identities that it makes for boats.

use super::log::Log;
use super::supervised::Supervised;
use super::tally::OnShore;
use crate::checkout::Checkout;
use crate::demo::http;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Time to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time to shut down.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(30);
/// Exit code of `flukewatch-shore missing` if something is missing.
const MISSING: i32 = 4;

/// A station that is killed and started again.
pub(super) struct Shore {
    folder: PathBuf,
    mqtts: SocketAddr,
    program: Supervised,
    log: Log,
}

/// The line that `flukewatch-shore serve` prints once it is ready.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Ready {
    http: SocketAddr,
    mqtts: SocketAddr,
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
            folder: folder.to_owned(),
            mqtts: SocketAddr::from(([127, 0, 0, 1], 0)),
            program: Supervised::default(),
            log: Log::new(&folder.join("shore.log")),
        };
        shore.supervise(checkout)?;
        shore.mqtts = shore.wait_until_ready(checkout)?.mqtts;
        Ok(shore)
    }

    /// The port of its broker.
    pub(super) fn port(&self) -> u16 {
        self.mqtts.port()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("shore")
    }

    fn stdout(&self) -> PathBuf {
        self.folder.join("shore.out")
    }

    /// Starts it, if it does not run and may. Returns the status of an exit that nobody asked for.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn supervise(&mut self, checkout: &Checkout) -> anyhow::Result<Option<ExitStatus>> {
        let (data, stdout, mqtts) = (self.data(), self.stdout(), self.mqtts.to_string());
        let log = &self.log;
        self.program.supervise(checkout, || {
            let mut serve = checkout.program(checkout.built("flukewatch-shore"));
            serve.arg("serve").arg("--data").arg(data);
            serve.args(["--http", "127.0.0.1:0", "--mqtts", &mqtts]);
            serve
                .env("NO_COLOR", "1")
                .stdout(File::create(stdout)?)
                .stderr(log.append()?);
            Ok(serve)
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready in time.
    fn wait_until_ready(&mut self, checkout: &Checkout) -> anyhow::Result<Ready> {
        let (begun, log) = (Instant::now(), self.folder.join("shore.log"));
        loop {
            if let Some(ready) = self.ready() {
                return Ok(ready);
            }
            if let Some(status) = self.program.has_ended()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("the station did not start ({status}):\n{said}");
            }
            if begun.elapsed() > START_TIMEOUT {
                let seconds = START_TIMEOUT.as_secs();
                bail!(
                    "the station is not ready after {seconds} s; see {}",
                    log.display()
                );
            }
            checkout.interrupt().check()?;
            std::thread::sleep(POLL);
        }
    }

    /// Its addresses, once it is ready.
    fn ready(&self) -> Option<Ready> {
        let said = fs::read_to_string(self.stdout()).ok()?;
        serde_json::from_str(said.split_once('\n')?.0).ok()
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
        let folder = self.data().join("broker");
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
        let ready = self.program.is_running().then(|| self.ready())??;
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
        let mut provision = self.command(checkout, "provision");
        provision.arg(boat).arg("--out").arg(to);
        if replace {
            provision.arg("--replace");
        }
        let log = self.log.append()?;
        provision.stdout(log.try_clone()?).stderr(log);
        checkout
            .run(&mut provision)
            .with_context(|| format!("no identity for {boat}"))
    }

    fn command(&self, checkout: &Checkout, name: &str) -> Command {
        let mut command = checkout.program(checkout.built("flukewatch-shore"));
        command.arg(name).arg("--data").arg(self.data());
        command
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
        let mut missing = self.command(checkout, "missing");
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
