//! A station on shore, its program run as a process.

use crate::boat::text;
use crate::program::{Program, Running};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

/// A station that serves.
#[derive(Debug)]
pub struct Station {
    data: PathBuf,
    http: SocketAddr,
    mqtt: SocketAddr,
    program: Running,
}

impl Station {
    /// Starts one on free ports, with its data in `data`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(data: &Path) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(data, any, any)
    }

    /// Starts one on these ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_at(data: &Path, http: SocketAddr, mqtt: SocketAddr) -> Self {
        let command = Program::Shore.command(&[
            "serve",
            "--data",
            text(data),
            "--http",
            &http.to_string(),
            "--mqtt",
            &mqtt.to_string(),
        ]);
        let mut program = Running::start(command);
        let ready: Value = serde_json::from_str(&program.line()).unwrap();
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        Self {
            data: data.to_owned(),
            http: address("http"),
            mqtt: address("mqtt"),
            program,
        }
    }

    /// Where boats publish.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The process.
    pub fn program(&mut self) -> &mut Running {
        &mut self.program
    }

    /// SIGKILL. Returns what it takes to start it again where it was.
    pub fn kill(self) -> (PathBuf, SocketAddr, SocketAddr) {
        self.program.kill();
        (self.data, self.http, self.mqtt)
    }

    /// The answer to `GET path`, which must be JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        )
        .unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    /// All sightings, in the order of their boats and sequence numbers.
    ///
    /// # Panics
    /// When the answer has another form.
    pub fn sightings(&self) -> Vec<Value> {
        let mut all = self
            .get("/api/sightings?limit=10000")
            .as_array()
            .unwrap()
            .clone();
        all.sort_by_key(|s| (s["boat"].to_string(), s["sequence"].as_u64()));
        all
    }

    /// How many sightings there are.
    ///
    /// # Panics
    /// When the answer has another form.
    pub fn count(&self) -> u64 {
        self.get("/api/health")["sightings"].as_u64().unwrap()
    }

    /// How many messages were refused for `reason`.
    pub fn refused(&self, reason: &str) -> u64 {
        let refused = self.get("/api/refused");
        let counts = refused["counts"].as_array().into_iter().flatten();
        counts
            .filter(|c| c["reason"] == reason)
            .filter_map(|c| c["total"].as_u64())
            .sum()
    }

    /// Exactly `expected` sightings of `boat` are stored: each once, numbered from 1 without a gap, each with its picture.
    ///
    /// # Panics
    /// When something is missing or there twice.
    pub fn has_all(&self, boat: &str, expected: u64) -> Vec<Value> {
        let mut all = self.sightings();
        all.retain(|s| s["boat"] == boat);
        let numbers: Vec<u64> = all.iter().filter_map(|s| s["sequence"].as_u64()).collect();
        assert_eq!(
            numbers,
            (1..=expected).collect::<Vec<_>>(),
            "lost, or there twice"
        );
        let ids: BTreeSet<&str> = all.iter().filter_map(|s| s["id"].as_str()).collect();
        assert_eq!(ids.len() as u64, expected, "two sightings share an id");
        for sighting in &all {
            assert_eq!(sighting["picture"], "stored", "{sighting}");
        }
        let gaps = Program::Shore.run(&["gaps", "--data", text(&self.data), "--json"]);
        let boats = gaps.succeeded().json();
        let status = boats
            .as_array()
            .into_iter()
            .flatten()
            .find(|b| b["boat"] == boat)
            .unwrap();
        for key in [
            "missing",
            "repeated",
            "pictures_missing",
            "pictures_waiting",
        ] {
            assert_eq!(status[key], 0, "{key}: {status}");
        }
        all
    }
}
