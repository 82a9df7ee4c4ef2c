//! A boat: its folder with configuration, bundle and frames, and the program that works in it.

use crate::bundle;
use crate::pictures::{FLUKE, fluke, frame, jpeg};
use crate::program::{Finished, Program, Running};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many whales a boat's catalogue knows.
pub const KNOWN: u32 = 5;

/// How the camera works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Camera {
    /// Photos, each an encounter of its own, so many a second.
    Stills(f64),
    /// Frames of a film, ten a second by their time stamps, as fast as the machine can.
    Film,
}

/// A boat's folder.
#[derive(Debug)]
pub struct Boat {
    folder: PathBuf,
}

impl Boat {
    /// A boat named `name` in a new folder `folder`, with an empty camera and the broker at 127.0.0.1:`port`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn new(folder: &Path, name: &str, camera: Camera, port: u16) -> Self {
        fs::create_dir_all(folder.join("frames")).unwrap();
        bundle::tiny(KNOWN)
            .save(&folder.join("whales.flukebundle"))
            .unwrap();
        let boat = Self {
            folder: folder.to_owned(),
        };
        boat.configure(name, camera, port);
        boat
    }

    /// Writes the configuration anew.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, name: &str, camera: Camera, port: u16) {
        let (source, rate, playback) = match camera {
            Camera::Stills(rate) => ("stills", rate, "real-time"),
            Camera::Film => ("replay", 10.0, "fast"),
        };
        let text = format!(
            "[boat]\nname = \"{name}\"\n\n[bundle]\npath = \"whales.flukebundle\"\n\n\
             [camera]\nsource = \"{source}\"\npath = \"frames\"\nframes_per_second = {rate:?}\nplayback = \"{playback}\"\n\n\
             [encounter]\ngap_seconds = 1.0\n\n[outbox]\npath = \"outbox\"\n\n\
             [uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\nack_timeout_seconds = 1.0\nmax_backoff_seconds = 0.5\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    /// The configuration's file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("edge.toml")
    }

    /// The bundle's file.
    pub fn bundle(&self) -> PathBuf {
        self.folder.join("whales.flukebundle")
    }

    /// The outbox's folder.
    pub fn outbox(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    /// The camera takes these photos instead of what it had: files and their contents.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn takes(&self, photos: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let frames = self.folder.join("frames");
        fs::remove_dir_all(&frames).unwrap();
        fs::create_dir(&frames).unwrap();
        for (name, file) in photos {
            fs::write(frames.join(name), file).unwrap();
        }
    }

    /// The camera takes `count` stills, of one whale after the other; every other one is not in the catalogue.
    pub fn takes_stills(&self, count: u32) {
        self.takes((0..count).map(|i| (format!("{i:06}.jpg"), jpeg(&fluke(whale_of(i))))));
    }

    /// The camera takes a film: for each of `script` so many frames of open sea or of a whale.
    pub fn takes_film(&self, script: &[(Option<u32>, usize)]) {
        let all = script
            .iter()
            .flat_map(|&(whale, frames)| std::iter::repeat_n(whale, frames));
        let region = json!({"x0": FLUKE.x0, "y0": FLUKE.y0, "x1": FLUKE.x1, "y1": FLUKE.y1});
        self.takes(all.enumerate().flat_map(|(i, whale)| {
            let boxes: Vec<&Value> = whale.iter().map(|_| &region).collect();
            let sidecar = json!({ "boxes": boxes }).to_string().into_bytes();
            [
                (format!("{i:06}.jpg"), jpeg(&frame(whale))),
                (format!("{i:06}.json"), sidecar),
            ]
        }));
    }

    /// Changes the configuration's text.
    ///
    /// # Panics
    /// When it cannot be read or written.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), change(text)).unwrap();
    }

    /// The command that works until it is asked to stop.
    pub fn command(&self) -> Command {
        Program::Edge.command(&["run", "--config", text(&self.config())])
    }

    /// Starts the program.
    pub fn start(&self, until_delivered: u32) -> Running {
        let config = self.config();
        let seconds = until_delivered.to_string();
        Running::start(Program::Edge.command(&[
            "run",
            "--config",
            text(&config),
            "--until-delivered",
            &seconds,
        ]))
    }

    /// Runs the program to its end.
    pub fn run(&self, until_delivered: u32) -> Finished {
        self.start(until_delivered).finish()
    }

    /// The outbox's messages: `{accepted, pending, dead_letters}`.
    pub fn listing(&self) -> Value {
        Program::Edge
            .run(&["outbox", "--config", text(&self.config()), "--json"])
            .succeeded()
            .json()
    }

    /// Sightings ever taken into the outbox.
    ///
    /// # Panics
    /// When the listing has no such number.
    pub fn accepted(&self) -> u64 {
        self.listing()["accepted"].as_u64().unwrap()
    }

    /// Everything is acknowledged: nothing is pending, and there are no dead letters.
    ///
    /// # Panics
    /// When something is left.
    pub fn is_empty(&self) {
        let listing = self.listing();
        assert_eq!(
            (&listing["pending"], &listing["dead_letters"]),
            (&json!([]), &json!([]))
        );
        let left = fs::read_dir(self.outbox().join("pictures"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "pictures are left in the outbox");
    }
}

/// The whale on still `i`: known ones take turns with new ones.
pub fn whale_of(i: u32) -> u32 {
    if i.is_multiple_of(2) {
        i / 2 % KNOWN
    } else {
        1000 + i
    }
}

/// A path for a command line.
///
/// # Panics
/// When it is no Unicode.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
