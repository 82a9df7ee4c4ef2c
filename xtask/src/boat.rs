//! `cargo xtask boat`: the boat's real program on an emulated aarch64 computer with a camera, and
//! shore on this machine.

mod config;
mod console;
mod encounter;
mod guest;
mod outcome;
mod replay;
mod requests;

use crate::checkout::Checkout;
use crate::cross;
use crate::demo::folder::DemoFolder;
use crate::demo::shore::Shore;
use crate::demo::sighting::Sighting;
use crate::setup::debian::{self, Tool};
use crate::setup::mosquitto;
use crate::station::{Broker, Provision};
use crate::steps::Steps;
use anyhow::{Context, bail, ensure};
use clap::Args;
use console::Report;
use encounter::Encounter;
use guest::{Aboard, Debian};
use outcome::{AtStation, BoatCounts, ListedBoat, Outcome};
use requests::Requests;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Boot an emulated boat with a camera, and check what reaches shore.
///
/// QEMU boots Debian's kernel for aarch64 with the test camera driver vivid, and runs the program
/// that `cargo xtask cross` builds, with the shipped model. Drawn flukes are written to the
/// driver's output, which it feeds to its camera: the boat captures them through Video4Linux2,
/// matches them with enrolled drawn whales, and publishes, signed and over TLS, to mosquitto of a
/// station on this machine. In the middle the camera is unplugged for a while. Then an encounter is
/// replayed from images, and the station requests its clip and its crops while the boat is up.
/// Packages from Debian and PyPI are unpacked below .tools; packages that run on this machine
/// (qemu-system-arm, kmod, cpio, mosquitto) are installed if xtask may.
#[derive(Args)]
#[command(after_help = "\
The last lines say what shore has of the boat: its records, verdicts, a clip, crops, its status, and
  boat: N frames captured, S sightings stored, L lost

Files are in .tools/boat: console.log is the boat's console, shore.log the station's log, shore its
data folder.

Exit codes: 0 shore has everything, and at least one sighting; 1 otherwise; 130 interrupted.")]
pub(crate) struct BoatArgs {
    /// Bundle with the model to embed with, instead of the shipped one
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// Folder with the programs flukewatch and flukewatch-shore for this machine, instead of
    /// building them
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Timeout of the emulated boat in seconds
    #[arg(long, default_value_t = 2400)]
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
    outcome
        .evidence()
        .iter()
        .for_each(|line| println!("{line}"));
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
    steps.required("install QEMU, kmod, cpio and mosquitto", || {
        debian::require(checkout, &TOOLS)?;
        mosquitto::install(checkout)
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
    let mut shore = steps.required("start shore with mosquitto and certificates", || {
        let photos = whales.join("catalogue");
        let broker = Broker::local_mosquitto(config::HOST);
        Shore::start(checkout, &station, folder, &bundle, &photos, &broker)
    })?;
    let broker = config::broker(shore.broker().port());
    let identity = folder.path("identity");
    steps.required("make the boat's identity", || {
        let provision = Provision {
            boat: config::BOAT,
            to: &identity,
            broker: Some(&broker),
            replace: false,
        };
        checkout.run(&mut shore.station().provision(checkout, &provision))
    })?;
    let memory = steps.required("pack the initial file system", || {
        let aboard = Aboard {
            edge: &edge,
            examples: &examples,
            bundle: &bundle,
            whales: &whales,
            encounters: &encounters,
            identity: &identity,
            broker: &broker,
        };
        guest::pack(checkout, &folder.path(""), &debian, &aboard)
    })?;
    let mut requests = Requests::default();
    let report = steps.required("run the emulated boat", || {
        let limit = Duration::from_secs(args.patience);
        let log = folder.path("console.log");
        let mut qemu = guest::qemu(checkout, &debian.kernel, &memory);
        let meanwhile = || {
            let sightings = shore.show_new()?;
            requests.make(checkout, &shore, &sightings)
        };
        boot(checkout, &mut qemu, &log, limit, meanwhile).inspect_err(|_| {
            let console = read(&log).unwrap_or_default();
            let tail = console::tail(&console, TAIL);
            eprintln!("The end of {}:\n{tail}", log.display());
        })
    })?;
    steps.required("compare the boat's sightings with those on shore", || {
        for line in report.lines() {
            println!("    {line}");
        }
        let [clip, crops] = requests.arrived(&shore)?;
        let station = AtStation {
            sightings: shore.sightings()?,
            clip,
            crops,
            status: shore
                .get::<Vec<ListedBoat>>("boats")?
                .into_iter()
                .find(|listed| listed.boat == config::BOAT)
                .and_then(|listed| listed.status),
        };
        for sighting in &station.sightings {
            println!("    {}", judged(sighting, &encounters));
        }
        let boat = BoatCounts {
            frames: report.frames(),
            made: report.made()?,
            undelivered: report.undelivered(),
        };
        Ok(Outcome::new(boat, station))
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
            checkout.build_programs()
        },
    )?;
    Ok(NAMES.map(|name| checkout.built(name)))
}

/// Boots and waits until the boat powers off; `meanwhile` is called repeatedly.
fn boot(
    checkout: &Checkout,
    qemu: &mut Command,
    log: &Path,
    limit: Duration,
    mut meanwhile: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    qemu.stdout(File::create(log)?);
    let (began, mut looked, mut shown) = (Instant::now(), Instant::now(), 0);
    let status = checkout.start(qemu)?.wait(|| {
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
        meanwhile()?;
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
    meanwhile()?;
    let report = Report::read(&read(log)?)?;
    report.made()?;
    Ok(report)
}

/// The console as text; invalid UTF-8 is replaced.
fn read(log: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(log).with_context(|| format!("{} cannot be read", log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A sighting next to the whale that was shown; the camera has the whale's name, and the first whale is replayed.
fn judged(sighting: &Sighting, encounters: &[Encounter]) -> String {
    let is_replayed = sighting.camera == replay::CAMERA;
    let by_name = encounters.iter().find(|v| v.whale == sighting.camera);
    let shown = by_name.or(encounters.first().filter(|_| is_replayed));
    let kind = match shown.map(|v| v.enrolled) {
        Some(true) => "enrolled",
        Some(false) => "new",
        None => "not shown",
    };
    let whale = shown.map_or(sighting.camera.as_str(), |v| v.whale.as_str());
    format!(
        "sighting {}: {whale} ({kind}); the boat: {sighting}",
        sighting.sequence
    )
}
