//! What all boats share: a bundle and stills of whales, half of which are enrolled.

use crate::checkout::Checkout;
use crate::demo::SHIPPED;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Few and small: what counts is how they travel.
const DRAWN: [(&str, &str); 6] = [
    ("--seed", "3"),
    ("--whales", "8"),
    ("--photos-per-whale", "2"),
    ("--new-whales", "8"),
    ("--queries-per-whale", "3"),
    ("--sequences", "0"),
];

/// Bundle and stills.
pub(super) struct Whales {
    /// The bundle of all boats.
    pub(super) bundle: PathBuf,
    /// A list of more stills than a run can need.
    pub(super) many: PathBuf,
    /// A list of one still.
    pub(super) one: PathBuf,
}

impl Whales {
    /// Draws and enrols whales in `folder`. `stills`: how many stills a run needs at most.
    ///
    /// # Errors
    /// If a program fails or a file cannot be written.
    pub(super) fn draw(checkout: &Checkout, folder: &Path, stills: usize) -> anyhow::Result<Self> {
        let (flukes, bundle) = (folder.join("flukes"), folder.join("chaos.flukebundle"));
        let flukewatch = checkout.built("flukewatch");
        let mut synth = checkout.program(&flukewatch);
        synth.arg("synth").arg("--out").arg(&flukes);
        for (option, value) in DRAWN {
            synth.args([option, value]);
        }
        checkout.run(&mut synth)?;
        let mut enroll = checkout.program(&flukewatch);
        enroll.arg("enroll").arg(checkout.path(SHIPPED));
        enroll.arg(flukes.join("catalogue.csv"));
        checkout.run(enroll.arg("--out").arg(&bundle))?;

        let queries = flukes.join("queries");
        let mut photos = vec![];
        let unreadable = || format!("{} cannot be read", queries.display());
        for entry in fs::read_dir(&queries).with_context(unreadable)? {
            photos.push(entry.with_context(unreadable)?.path());
        }
        photos.sort();
        let list = |name: &str, count: usize| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            let lines = photos.iter().cycle().take(count);
            let text: String = lines.map(|p| format!("{}\n", p.display())).collect();
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(path)
        };
        Ok(Self {
            many: list("many.txt", stills)?,
            one: list("one.txt", 1)?,
            bundle,
        })
    }
}
