//! A station on shore, run as a process.

use crate::boat::text;
use crate::program::{Program, Running};
use flukewatch_test_support::mosquitto;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running station process and its addresses.
#[derive(Debug)]
pub struct Station {
    data: PathBuf,
    http: SocketAddr,
    mqtt: SocketAddr,
    program: Running,
}

impl Station {
    /// Starts a station on free ports and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(data: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(data, any, any)
    }

    /// Starts a station on these addresses and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(data: &Path, http: SocketAddr, mqtt: SocketAddr) -> Self {
        Self::run(data, Self::command_at(data, http, mqtt))
    }

    /// The command of [`Station::start_at`], for [`Station::run`].
    pub fn command_at(data: &Path, http: SocketAddr, mqtt: SocketAddr) -> Command {
        Program::Shore.command(&[
            "serve",
            "--data",
            text(data),
            "--http",
            &http.to_string(),
            "--mqtt",
            &mqtt.to_string(),
        ])
    }

    /// Starts a station on an external broker at `url`, where boats do not sign, with more `options`,
    /// and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_on(data: &Path, url: &str, options: &[&str]) -> Self {
        let serve = ["serve", "--data", text(data), "--http", "127.0.0.1:0"];
        let arguments = [&serve[..], &["--broker", url, "--accept-unsigned"], options].concat();
        Self::run(data, Program::Shore.command(&arguments))
    }

    /// Starts a station on an external broker at `url`, where boats and station sign, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_signed_on(data: &Path, url: &str) -> Self {
        let serve = ["serve", "--data", text(data), "--http", "127.0.0.1:0"];
        let arguments = [&serve[..], &["--broker", url]].concat();
        Self::run(data, Program::Shore.command(&arguments))
    }

    /// Starts a station with a broker for boats with certificates, and waits until it is ready; `None`
    /// where mosquitto is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_certificates(data: &Path) -> Option<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_with_certificates_at(data, any)
    }

    /// The same with a broker on this address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_certificates_at(data: &Path, mqtts: SocketAddr) -> Option<Self> {
        mosquitto::program()?;
        Some(Self::run(
            data,
            Program::Shore.command(&[
                "serve",
                "--data",
                text(data),
                "--http",
                "127.0.0.1:0",
                "--mqtts",
                &mqtts.to_string(),
            ]),
        ))
    }

    /// Starts a station by a command, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(data: &Path, command: Command) -> Self {
        let mut program = Running::start(command);
        let ready: Value = serde_json::from_str(&program.line()).unwrap();
        let address = |value: &Value| value.as_str().unwrap().parse().unwrap();
        let mqtt = ready.get("mqtt").or(ready.get("mqtts"));
        Self {
            data: data.to_owned(),
            http: address(&ready["http"]),
            mqtt: address(mqtt.unwrap()),
            program,
        }
    }

    /// The address of its broker.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The station's process.
    pub fn program(&mut self) -> &mut Running {
        &mut self.program
    }

    /// Kills it with SIGKILL. Returns the arguments of [`Station::start_at`] to start it again.
    pub fn kill(self) -> (PathBuf, SocketAddr, SocketAddr) {
        self.program.kill();
        (self.data, self.http, self.mqtt)
    }

    /// The JSON response to `GET path`.
    ///
    /// # Panics
    /// When the response is not JSON.
    pub fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        )
        .unwrap();
        let mut response = vec![];
        stream.read_to_end(&mut response).unwrap();
        let response = String::from_utf8(response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{response}");
        serde_json::from_str(body).unwrap()
    }

    /// All sightings, ordered by boat and sequence number.
    ///
    /// # Panics
    /// When the response has another form.
    pub fn sightings(&self) -> Vec<Value> {
        let mut all = self
            .get("/api/v1/sightings?limit=10000")
            .as_array()
            .unwrap()
            .clone();
        all.sort_by_key(|s| (s["boat"].to_string(), s["sequence"].as_u64()));
        all
    }

    /// The number of stored sightings.
    ///
    /// # Panics
    /// When the response has another form.
    pub fn count(&self) -> u64 {
        self.get("/api/v1/health")["sightings"].as_u64().unwrap()
    }

    /// How many messages were rejected for `reason`.
    pub fn rejected(&self, reason: &str) -> u64 {
        let rejected = self.get("/api/v1/rejected");
        let counts = rejected["counts"].as_array().into_iter().flatten();
        counts
            .filter(|c| c["reason"] == reason)
            .filter_map(|c| c["total"].as_u64())
            .sum()
    }

    /// Asserts that exactly `expected` sightings of `boat` are stored: each once, numbered from 1
    /// without gaps, and with its picture.
    ///
    /// # Panics
    /// When something is missing or duplicated.
    pub fn has_all(&self, boat: &str, expected: u64) -> Vec<Value> {
        let all = self.has_each(boat, expected);
        self.misses_nothing_of([boat]);
        all
    }

    /// The same while other boats are still sending: without the list of what is missing, which is
    /// [`Station::misses_nothing_of`].
    ///
    /// # Panics
    /// When something is missing or duplicated.
    pub fn has_each(&self, boat: &str, expected: u64) -> Vec<Value> {
        let mut all = self.sightings();
        all.retain(|s| s["boat"] == boat);
        let numbers: Vec<u64> = all.iter().filter_map(|s| s["sequence"].as_u64()).collect();
        assert_eq!(
            numbers,
            (1..=expected).collect::<Vec<_>>(),
            "missing or duplicate of {boat}; in quarantine: {}",
            self.get("/api/v1/quarantine")
        );
        let ids: BTreeSet<&str> = all.iter().filter_map(|s| s["id"].as_str()).collect();
        assert_eq!(ids.len() as u64, expected, "two sightings share an id");
        for sighting in &all {
            assert_eq!(sighting["picture"], "stored", "{sighting}");
        }
        all
    }

    /// Asserts that `flukewatch-shore missing` lists these boats, and that nothing is missing.
    ///
    /// # Panics
    /// When something is missing or duplicated.
    pub fn misses_nothing_of<'a>(&self, boats: impl IntoIterator<Item = &'a str>) {
        let missing = Program::Shore.run(&["missing", "--data", text(&self.data), "--json"]);
        let listed = missing.succeeded().json();
        for boat in boats {
            let mut listed = listed.as_array().into_iter().flatten();
            let status = listed.find(|b| b["boat"] == boat).unwrap();
            for key in [
                "missing",
                "duplicate_sequences",
                "pictures_missing",
                "pictures_without_sighting",
            ] {
                assert_eq!(status[key], 0, "{key}: {status}");
            }
        }
    }
}
