//! `cargo xtask images`: the screenshots of the documents, taken from a run of the demo.

use crate::checkout::Checkout;
use crate::demo;
use crate::demo::folder::DemoFolder;
use crate::setup::debian::{self, Tool};
use crate::steps::Steps;
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const CHROMIUM: Tool = Tool {
    program: "chromium",
    package: "chromium",
};
const TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for loading a page, in Chromium's virtual time.
const LOAD_MILLISECONDS: u32 = 3000;
/// Maximum size of a picture in the repository.
const MAX_BYTES: u64 = 400_000;

/// Take the screenshots of the documents
///
/// Runs the demo, opens the station's pages in headless Chromium, and writes
/// docs/images/station.png. All whales are drawn.
#[derive(Args)]
pub(crate) struct ImagesArgs {
    /// Folder for the screenshots
    #[arg(long, value_name = "DIR", default_value = "docs/images")]
    out: PathBuf,
}

struct Screenshot<'a> {
    url: &'a str,
    width: u32,
    height: u32,
}

pub(crate) fn run(args: &ImagesArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    debian::require(checkout, &[CHROMIUM])?;
    let folder = DemoFolder::claim(&checkout.path("demo"))?;
    let bundle = checkout.path(demo::SHIPPED);
    let out = checkout.path(&args.out);
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut steps = Steps::new();
    let (shore, outcome) = demo::play(&mut steps, checkout, &folder, &bundle)?;
    ensure!(outcome.is_good(), "{}", outcome.line());
    steps.required("take the screenshots", || {
        let list = Screenshot {
            url: &format!("http://{}/", shore.http()),
            width: 1280,
            height: 760,
        };
        list.save(checkout, &folder, &out.join("station.png"))
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Screenshot<'_> {
    fn save(&self, checkout: &Checkout, folder: &DemoFolder, file: &Path) -> anyhow::Result<()> {
        let log = folder.path("chromium.log");
        let started = Instant::now();
        let mut command = self.command(checkout, &folder.path("chromium"), file);
        command
            .stdout(File::create(&log)?)
            .stderr(File::create(&log)?);
        let status = checkout.start(&mut command)?.wait(|| {
            let elapsed = started.elapsed();
            ensure!(
                elapsed < TIMEOUT,
                "chromium timed out; see {}",
                log.display()
            );
            Ok(())
        })?;
        if !status.success() {
            bail!("chromium failed ({status}); see {}", log.display());
        }
        let bytes = fs::metadata(file)
            .with_context(|| format!("no screenshot; see {}", log.display()))?
            .len();
        println!("    {}: {} kB", file.display(), bytes / 1000);
        ensure!(
            bytes <= MAX_BYTES,
            "the screenshot exceeds {} kB",
            MAX_BYTES / 1000
        );
        Ok(())
    }

    fn command(&self, checkout: &Checkout, profile: &Path, file: &Path) -> Command {
        let mut command = checkout.program(CHROMIUM.program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--window-size={},{}", self.width, self.height))
            .arg(format!("--virtual-time-budget={LOAD_MILLISECONDS}"))
            .arg(format!("--screenshot={}", file.display()))
            .arg(self.url);
        command
    }
}
