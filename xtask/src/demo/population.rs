//! The whales of the demo, the same each time.

use super::truth::{Sequence, SequenceTruth};
use crate::checkout::Checkout;
use anyhow::Context;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Half of the whales are enrolled, and half of the encounters are with them. Drawing frames takes
/// most of a demo's time: a low frame rate and short intervals of open sea need fewer. The sea is
/// open for longer than the two seconds that end an encounter.
///
/// A decision rule that is fitted to so few whales names some new ones: of the populations of the
/// seeds 1 to 11, the boat is right about 11 to 15 of 15 encounters. In this one all are right, so
/// that a fault shows.
const DRAWN: [(&str, &str); 9] = [
    ("--seed", "4"),
    ("--whales", "24"),
    ("--new-whales", "24"),
    ("--photos-per-whale", "4..5"),
    ("--queries-per-whale", "0"),
    ("--sequences", "3"),
    ("--encounters-per-sequence", "5"),
    ("--sea-seconds", "2.2..3"),
    ("--fps", "5"),
];

/// A folder written by `flukewatch synth`.
pub(super) struct Population {
    folder: PathBuf,
}

/// The fields of `truth.json` that are used here.
#[derive(Deserialize)]
struct PopulationTruth {
    sequences: Vec<String>,
}

impl Population {
    /// A population in `folder`, drawn or not.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(super) fn draw(&self, checkout: &Checkout) -> anyhow::Result<()> {
        let mut synth = checkout.program(checkout.built("flukewatch"));
        synth.arg("synth").arg("--out").arg(&self.folder);
        for (option, value) in DRAWN {
            synth.args([option, value]);
        }
        checkout.run(&mut synth)
    }

    /// Enrols the catalogue: writes the bundle `to` with the model of the bundle `model`.
    pub(super) fn enrol(&self, checkout: &Checkout, model: &Path, to: &Path) -> anyhow::Result<()> {
        let mut enroll = checkout.program(checkout.built("flukewatch"));
        enroll
            .arg("enroll")
            .arg(model)
            .arg(self.folder.join("catalogue.csv"));
        enroll.arg("--out").arg(to);
        checkout.run(&mut enroll)
    }

    /// Folder of the catalogue's photos.
    pub(super) fn photos(&self) -> PathBuf {
        self.folder.join("catalogue")
    }

    /// The camera sequences with their truth.
    pub(super) fn sequences(&self) -> anyhow::Result<Vec<Sequence>> {
        let truth: PopulationTruth = read(&self.folder.join("truth.json"))?;
        let folder = self.folder.join("sequences");
        let sequence = |name: String| -> anyhow::Result<Sequence> {
            let truth: SequenceTruth = read(&folder.join(format!("{name}.truth.json")))?;
            Ok(Sequence {
                frames: folder.join(&name),
                name,
                truth,
            })
        };
        truth.sequences.into_iter().map(sequence).collect()
    }
}

fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is invalid", file.display()))
}
