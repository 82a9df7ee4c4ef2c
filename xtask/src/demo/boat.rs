//! The boat: one run of `flukewatch-edge` for each sequence, all with the same outbox.

use super::folder::DemoFolder;
use super::shore::Shore;
use super::truth::Sequence;
use crate::checkout::Checkout;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Seconds to wait for the last acks after the last frame of a sequence.
const UNTIL_DELIVERED: &str = "60";
/// Exit code of `flukewatch-edge run --until-delivered` if messages are left in the outbox.
const UNDELIVERED: i32 = 3;
/// Polling interval of shore's sightings.
const ASK: Duration = Duration::from_millis(200);

pub(super) struct Boat<'a> {
    folder: &'a DemoFolder,
    bundle: PathBuf,
    broker: SocketAddr,
    published: u64,
}

/// The fields of the final status of `flukewatch-edge run` that are used here.
#[derive(Deserialize)]
struct Health {
    accepted: u64,
    dropped_sightings: u64,
}

impl<'a> Boat<'a> {
    /// A boat with the catalogue of `bundle`.
    pub(super) fn new(folder: &'a DemoFolder, bundle: &Path, broker: SocketAddr) -> Self {
        Self {
            folder,
            bundle: bundle.to_owned(),
            broker,
            published: 0,
        }
    }

    /// Number of sightings that the boat has made so far.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Replays a sequence as fast as possible, and prints what reaches shore meanwhile.
    pub(super) fn watch(
        &mut self,
        checkout: &Checkout,
        sequence: &Sequence,
        shore: &mut Shore,
    ) -> anyhow::Result<()> {
        let name = &sequence.name;
        let file = |ending: &str| self.folder.path(&format!("boat-{name}.{ending}"));
        let (config, said, log) = (file("toml"), file("out"), file("log"));
        fs::write(&config, self.config(sequence)?)
            .with_context(|| format!("{} cannot be written", config.display()))?;
        let mut run = checkout.program(checkout.built("flukewatch-edge"));
        run.arg("run").arg("--config").arg(&config);
        run.args(["--until-delivered", UNTIL_DELIVERED])
            .env("NO_COLOR", "1")
            .stdout(File::create(&said)?)
            .stderr(File::create(&log)?);
        let mut asked = Instant::now();
        let status = checkout.start(&mut run)?.wait(|| {
            if asked.elapsed() >= ASK {
                asked = Instant::now();
                shore.show_new()?;
            }
            Ok(())
        })?;
        shore.show_new()?;
        if !status.success() && status.code() != Some(UNDELIVERED) {
            let log = fs::read_to_string(&log).unwrap_or_default();
            bail!("the boat failed on {name} ({status}):\n{log}");
        }
        let said = fs::read_to_string(&said)?;
        let health: Health = serde_json::from_str(said.lines().last().unwrap_or_default())
            .with_context(|| format!("invalid status of the boat: '{said}'"))?;
        self.published += health.accepted + health.dropped_sightings;
        Ok(())
    }

    /// The boat's configuration for a sequence. The camera has the sequence's name, so that each
    /// sighting can be assigned.
    fn config(&self, sequence: &Sequence) -> anyhow::Result<String> {
        // A JSON string is also a TOML string.
        let text = |path: &Path| serde_json::to_string(&path.to_string_lossy());
        let Sequence {
            name,
            frames,
            truth,
        } = sequence;
        let mut toml = String::new();
        write!(
            toml,
            "\
# Written by `cargo xtask demo`.

[boat]
name = \"balaena\"

[bundle]
path = {bundle}
# As in a lab: a boat at sea has trusted_keys instead.
allow_unsigned = true

[camera]
source = \"replay\"
path = {frames}
frames_per_second = {rate:?}
playback = \"fast\"
name = \"{name}\"

[outbox]
path = {outbox}

[uplink]
broker = \"mqtt://{broker}\"

[page]
listen = \"\"
",
            bundle = text(&self.bundle)?,
            frames = text(frames)?,
            rate = truth.frames_per_second,
            outbox = text(&self.folder.path("outbox"))?,
            broker = self.broker,
        )?;
        Ok(toml)
    }
}
