//! A boat: a folder with configuration, bundle and frames, and the program that runs in it.

use crate::bundle;
use crate::pictures::{FLUKE, fluke, frame, jpeg};
use crate::program::{Finished, Program, Running};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Number of whales in the boat's catalogue.
pub const KNOWN: u32 = 5;

/// What the camera replays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Camera {
    /// Stills, each a separate encounter, at this many per second.
    Stills(f64),
    /// A video with timestamps at ten frames per second, played as fast as possible.
    Video,
}

/// A boat's folder and the program's command line for it.
#[derive(Debug)]
pub struct Boat {
    folder: PathBuf,
}

impl Boat {
    /// Creates the boat `name` in the new folder `folder`, with a camera without frames and the
    /// broker at 127.0.0.1:`port`.
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

    /// Rewrites the configuration file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, name: &str, camera: Camera, port: u16) {
        let (source, rate, playback) = match camera {
            Camera::Stills(rate) => ("stills", rate, "real-time"),
            Camera::Video => ("replay", 10.0, "fast"),
        };
        let text = format!(
            "[boat]\nname = \"{name}\"\n\n[bundle]\npath = \"whales.flukebundle\"\nallow_unsigned = true\n\
             [camera]\nsource = \"{source}\"\npath = \"frames\"\nframes_per_second = {rate:?}\nplayback = \"{playback}\"\n\n\
             [encounter]\ngap_seconds = 1.0\n\n[page]\nlisten = \"\"\n\n[outbox]\npath = \"outbox\"\n\n\
             [uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"\nack_timeout_seconds = 1.0\nmax_backoff_seconds = 0.5\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Path of the configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("edge.toml")
    }

    /// Path of the bundle file.
    pub fn bundle(&self) -> PathBuf {
        self.folder.join("whales.flukebundle")
    }

    /// Path of the outbox folder.
    pub fn outbox(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    /// Replaces the camera's frames with these files, given as name and content.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn set_frames(&self, photos: impl IntoIterator<Item = (String, Vec<u8>)>) {
        let frames = self.folder.join("frames");
        fs::remove_dir_all(&frames).unwrap();
        fs::create_dir(&frames).unwrap();
        for (name, file) in photos {
            fs::write(frames.join(name), file).unwrap();
        }
    }

    /// Replaces the camera's frames with `count` stills of different whales, every second of which is
    /// not in the catalogue.
    pub fn set_stills(&self, count: u32) {
        self.set_frames((0..count).map(|i| (format!("{i:06}.jpg"), jpeg(&fluke(whale_of(i))))));
    }

    /// Replaces the camera's frames with a video: for each entry of `script`, this many frames of a
    /// whale, or of open sea for `None`.
    pub fn set_video(&self, script: &[(Option<u32>, usize)]) {
        let all = script
            .iter()
            .flat_map(|&(whale, frames)| std::iter::repeat_n(whale, frames));
        let region = json!({"x0": FLUKE.x0, "y0": FLUKE.y0, "x1": FLUKE.x1, "y1": FLUKE.y1});
        self.set_frames(all.enumerate().flat_map(|(i, whale)| {
            let boxes: Vec<&Value> = whale.iter().map(|_| &region).collect();
            let sidecar = json!({ "boxes": boxes }).to_string().into_bytes();
            [
                (format!("{i:06}.jpg"), jpeg(&frame(whale))),
                (format!("{i:06}.json"), sidecar),
            ]
        }));
    }

    /// Rewrites the configuration file with `change` applied to its text.
    ///
    /// # Panics
    /// When it cannot be read or written.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), change(text)).unwrap();
    }

    /// The command that runs until it receives a signal.
    pub fn command(&self) -> Command {
        Program::Edge.command(&["run", "--config", text(&self.config())])
    }

    /// The command that runs until everything is delivered, or for `until_delivered` seconds.
    pub fn command_until_delivered(&self, until_delivered: u32) -> Command {
        let mut command = self.command();
        command.args(["--until-delivered", &until_delivered.to_string()]);
        command
    }

    /// Starts the program; it exits once everything is delivered, or after `until_delivered` seconds.
    pub fn start(&self, until_delivered: u32) -> Running {
        Running::start(self.command_until_delivered(until_delivered))
    }

    /// Like [`Boat::start`], and waits for the exit.
    pub fn run(&self, until_delivered: u32) -> Finished {
        self.start(until_delivered).finish()
    }

    /// The outbox's listing as JSON: `{accepted, pending, dead_letters}`.
    pub fn listing(&self) -> Value {
        Program::Edge
            .run(&["outbox", "--config", text(&self.config()), "--json"])
            .succeeded()
            .json()
    }

    /// Number of sightings ever accepted by the outbox.
    ///
    /// # Panics
    /// When the listing lacks this number.
    pub fn accepted(&self) -> u64 {
        self.listing()["accepted"].as_u64().unwrap()
    }

    /// Asserts that everything is acknowledged: no pending messages, dead letters or pictures.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_delivered(&self) {
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

/// The whale on still `i`; known and new ones alternate.
pub fn whale_of(i: u32) -> u32 {
    if i.is_multiple_of(2) {
        i / 2 % KNOWN
    } else {
        1000 + i
    }
}

/// `path` as a command line argument.
///
/// # Panics
/// When it is not valid UTF-8.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
