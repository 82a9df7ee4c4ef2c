//! `cargo xtask boat`: the boat's real program on an emulated aarch64 computer with a camera, and
//! shore on this machine.

mod config;
mod console;
mod encounter;
mod guest;
mod outcome;

use crate::checkout::Checkout;
use crate::cross;
use crate::demo::folder::DemoFolder;
use crate::demo::shore::Shore;
use crate::demo::sighting::Sighting;
use crate::setup::debian::{self, Tool};
use crate::steps::Steps;
use anyhow::{Context, bail, ensure};
use clap::Args;
use console::Report;
use encounter::Encounter;
use guest::{Aboard, Debian};
use outcome::Outcome;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Boot an emulated boat with a camera, and check that its sightings reach shore.
///
/// QEMU boots Debian's kernel for aarch64 with the test camera driver vivid, and runs the program
/// that `cargo xtask cross` builds, with the shipped model. Drawn flukes are written to the
/// driver's output, which it feeds to its camera: the boat captures them through Video4Linux2,
/// matches them with enrolled drawn whales, and publishes to the broker of a station on this
/// machine. In the middle the camera is unplugged for a while. Packages from Debian and PyPI are
/// unpacked below .tools; packages that run on this machine (qemu-system-arm, kmod, cpio) are
/// installed if xtask may.
#[derive(Args)]
#[command(after_help = "\
The last line is
  boat: N frames captured, S sightings stored, L lost

Exit codes: 0 at least one sighting is stored and none is lost; 1 otherwise; 130 interrupted.")]
pub(crate) struct BoatArgs {
    /// Bundle with the model to embed with, instead of the shipped one
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// Folder with the programs flukewatch and flukewatch-shore for this machine, instead of
    /// building them
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Timeout of the emulated boat in seconds
    #[arg(long, default_value_t = 900)]
    patience: u64,
}

/// The shipped bundle.
const SHIPPED: &str = "models/humpback-lite0";
/// Folder of all files of a run.
const FOLDER: &str = ".tools/boat";
const TOOLS: [Tool; 4] = [
    Tool {
        program: "qemu-system-aarch64",
        package: "qemu-system-arm",
    },
    Tool {
        program: "depmod",
        package: "kmod",
    },
    Tool {
        program: "modprobe",
        package: "kmod",
    },
    Tool {
        program: "cpio",
        package: "cpio",
    },
];
/// Number of console lines that an error shows.
const TAIL: usize = 40;
/// Polling interval of the console.
const LOOK: Duration = Duration::from_millis(500);

/// Builds, boots and compares.
pub(crate) fn run(args: &BoatArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let model = args
        .bundle
        .clone()
        .unwrap_or_else(|| checkout.path(SHIPPED));
    let model = model
        .canonicalize()
        .with_context(|| format!("bundle {} not found", model.display()))?;
    let folder = DemoFolder::claim(&checkout.path(FOLDER))?;
    let mut steps = Steps::new();
    let outcome = play(&mut steps, checkout, &folder, &model, args)?;
    println!("\n{}\n", steps.summary());
    let faults = outcome.faults();
    for fault in &faults {
        println!("NOT well: {fault}");
    }
    println!("{}", outcome.line());
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(
    steps: &mut Steps,
    checkout: &Checkout,
    folder: &DemoFolder,
    model: &Path,
    args: &BoatArgs,
) -> anyhow::Result<Outcome> {
    steps.required("install QEMU, kmod and cpio", || {
        debian::require(checkout, &TOOLS)
    })?;
    let edge = cross::build(steps, checkout)?;
    let examples = steps.required(
        "build the camera player and the driver test for aarch64",
        || {
            let mut cargo = cross::zigbuild(checkout, "zigbuild");
            cargo.args(["--package", "flukewatch-edge"]);
            cargo.args(["--example", "v4l2_player", "--example", "v4l2_trial"]);
            checkout.run(&mut cargo)?;
            Ok(cross::built(checkout, "examples"))
        },
    )?;
    let [workstation, station] = programs(steps, checkout, args)?;
    let debian = steps.required("download Debian's kernel for aarch64", || {
        Debian::fetch(checkout)
    })?;
    let (whales, bundle) = (folder.path("whales"), folder.path("whales.flukebundle"));
    let encounters = steps.required("draw whales and enrol them with the bundle", || {
        encounter::draw(checkout, &workstation, &whales)?;
        encounter::enrol(checkout, &workstation, &whales, model, &bundle)?;
        encounter::encounters(&whales)
    })?;
    let mut shore = steps.required("start shore with its broker", || {
        let photos = whales.join("catalogue");
        Shore::start(checkout, &station, folder, &bundle, &photos)
    })?;
    let memory = steps.required("pack the initial file system", || {
        let aboard = Aboard {
            edge: &edge,
            examples: &examples,
            bundle: &bundle,
            whales: &whales,
            encounters: &encounters,
            port: shore.mqtt().port(),
        };
        guest::pack(checkout, &folder.path(""), &debian, &aboard)
    })?;
    let report = steps.required("run the emulated boat", || {
        let limit = Duration::from_secs(args.patience);
        let log = folder.path("console.log");
        boot(checkout, &debian, &memory, &log, &mut shore, limit).inspect_err(|_| {
            let console = read(&log).unwrap_or_default();
            let tail = console::tail(&console, TAIL);
            eprintln!("The end of {}:\n{tail}", log.display());
        })
    })?;
    steps.required("compare the boat's sightings with those on shore", || {
        for line in report.lines() {
            println!("    {line}");
        }
        let sightings = shore.sightings()?;
        for sighting in &sightings {
            println!("    {}", judged(sighting, &encounters));
        }
        Ok(Outcome::new(
            report.frames(),
            report.made()?,
            report.undelivered(),
            &sightings,
        ))
    })
}

/// The programs of workstation and shore, for this machine.
fn programs(
    steps: &mut Steps,
    checkout: &Checkout,
    args: &BoatArgs,
) -> anyhow::Result<[PathBuf; 2]> {
    const NAMES: [&str; 2] = ["flukewatch", "flukewatch-shore"];
    if let Some(folder) = &args.programs {
        let programs = NAMES.map(|name| folder.join(name));
        for program in &programs {
            ensure!(program.is_file(), "{} not found", program.display());
        }
        return Ok(programs);
    }
    steps.required(
        "build the programs of shore and workstation for this machine",
        || {
            println!("    (takes minutes the first time)");
            let mut cargo = checkout.cargo();
            cargo.args(["build", "--workspace"]);
            for name in NAMES {
                cargo.args(["--bin", name]);
            }
            checkout.run(&mut cargo)
        },
    )?;
    Ok(NAMES.map(|name| checkout.built(name)))
}

/// Boots and waits until the boat powers off.
fn boot(
    checkout: &Checkout,
    debian: &Debian,
    memory: &Path,
    log: &Path,
    shore: &mut Shore,
    limit: Duration,
) -> anyhow::Result<Report> {
    let mut qemu = guest::qemu(checkout, &debian.kernel, memory);
    qemu.stdout(File::create(log)?);
    let (began, mut looked, mut shown) = (Instant::now(), Instant::now(), 0);
    let status = checkout.start(&mut qemu)?.wait(|| {
        if looked.elapsed() < LOOK {
            return Ok(());
        }
        looked = Instant::now();
        let console = read(log)?;
        let lines: Vec<&str> = console::ours(&console).collect();
        for line in lines.iter().skip(shown).filter(|l| !l.contains('{')) {
            println!("    the boat: {line}");
        }
        shown = lines.len();
        shore.show_new()?;
        if began.elapsed() > limit {
            bail!(
                "the emulated boat did not end within {} s; increase --patience",
                limit.as_secs()
            );
        }
        Ok(())
    })?;
    if !status.success() {
        bail!("QEMU failed ({status})");
    }
    shore.show_new()?;
    let report = Report::read(&read(log)?)?;
    report.made()?;
    Ok(report)
}

/// The console as text; invalid UTF-8 is replaced.
fn read(log: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(log).with_context(|| format!("{} cannot be read", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A sighting next to the whale that was shown; the camera has the whale's name.
fn judged(sighting: &Sighting, encounters: &[Encounter]) -> String {
    let shown = encounters.iter().find(|v| v.whale == sighting.camera);
    let kind = match shown.map(|v| v.enrolled) {
        Some(true) => "enrolled",
        Some(false) => "new",
        None => "not shown",
    };
    format!(
        "sighting {}: {} ({kind}); the boat: {sighting}",
        sighting.sequence, sighting.camera
    )
}
