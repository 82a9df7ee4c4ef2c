//! `cargo xtask chaos`: boats and a station whose programs, links and disks fail at random.

mod boat;
mod disk;
mod failing_sync;
mod fault;
mod gnss;
mod link;
mod log;
mod proxy;
mod random;
mod schedule;
mod setup;
mod shore;
mod storm;
mod supervised;
mod tally;

use crate::checkout::Checkout;
use crate::demo::folder::DemoFolder;
use crate::steps::Steps;
use anyhow::Context;
use clap::Args;
use fault::Fault;
use setup::Whales;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use storm::{Outcome, Storm};

/// Kill, cut, throttle and corrupt boats and a station, and count what is lost.
///
/// Starts a station with mosquitto, TLS and certificates, and boats that make sightings with pictures.
/// Between each boat and the broker is a proxy that makes the link bad. Faults begin every one to five
/// seconds and overlap; the seed decides which. Then all faults end, the boats deliver what they have,
/// and each boat's outbox is compared with the station's store.
#[derive(Args)]
#[command(after_help = "\
Faults:
  boat killed          kill -9, started again after up to 3 s
  station killed       kill -9, its broker with it, started again after up to 5 s
  mosquitto killed     kill -9, started again by the station
  link cut             connections closed and rejected, up to 8 s
  link silent          nothing passes, connections stay open, up to 12 s
  link delayed         by 600 ms in each direction, up to 15 s
  link throttled       2.4 kbit/s, up to 12 s
  bytes corrupted      one bit; TLS must end the connection
  bytes replayed       a recorded stretch is sent again; TLS must end the connection
  disk full            of the outbox, up to 8 s; needs the right to mount, else it is skipped
  fsync failing        with EIO, on the boat or on shore, up to 8 s; needs strace and the right to
                       attach it, else it is skipped
  clock stepped        the time of the boat's GNSS receiver, which the boat takes its time from,
                       by up to 6 h, up to 20 s
  certificate revoked  the boat gets another one within 8 s, by reload or restart

Not included: steps of the system's clock, which all programs share, and power cuts. Without root,
full disks and failing fsync need a namespace of your own: unshare -Urm cargo xtask chaos

The last line is
  chaos: A accepted, S stored, L lost, D duplicated, F faults
Accepted: sightings that the boats' outboxes, or their logs, say were recorded. Lost: those that are
not on shore with their picture. Duplicated: sightings on shore that no boat accepted, or twice.

Files are in target/chaos, and removed when the run passes, unless --keep is given: faults.log says
what began and ended when; boat-N.log and shore.log are the programs' logs; shore is the station's
data folder, boat-N that of a boat with its outbox.

Examples:
  cargo xtask chaos --minutes 2 --seed 1
  cargo xtask chaos --minutes 20 --seed 5 --no-build
  cargo xtask chaos --minutes 20 --seed 5 --schedule    which faults are these?

Exit codes: 0 nothing lost or duplicated; 1 otherwise, also if a program hung or panicked, or a
damaged connection stayed open; 130 interrupted.")]
pub(crate) struct ChaosArgs {
    /// How long faults are caused, in minutes; delivery follows
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1440))]
    minutes: u16,
    /// Seed of the faults: the same faults at the same times
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Number of boats, each with about 2 sightings a second
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    boats: u8,
    /// Use the programs in target/release as they are
    #[arg(long)]
    no_build: bool,
    /// Keep logs and data when the run passes
    #[arg(long)]
    keep: bool,
    /// Only print the faults
    #[arg(long)]
    schedule: bool,
}

/// Causes faults and compares.
pub(crate) fn run(args: &ChaosArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let long = Duration::from_secs(60) * u32::from(args.minutes);
    let faults = schedule::draw(args.seed, long, args.boats.into());
    if args.schedule {
        faults.iter().for_each(|fault| println!("{fault}"));
        return Ok(ExitCode::SUCCESS);
    }
    let path = checkout.target().join("chaos");
    disk::unmount_leftovers(&path);
    let folder = DemoFolder::claim(&path)?;
    let mut steps = Steps::new();
    let outcome = play(&mut steps, checkout, &path, args, &faults)
        .inspect_err(|_| eprintln!("logs and data are in {}", path.display()))?;
    println!("\n{}\n", steps.summary());
    println!("{}", outcome.kinds);
    outcome
        .notes
        .iter()
        .for_each(|note| println!("note: {note}"));
    let problems = &outcome.problems;
    problems
        .iter()
        .for_each(|problem| println!("PROBLEM: {problem}"));
    let code = if outcome.is_good() {
        drop(folder);
        if !args.keep {
            fs::remove_dir_all(&path)
                .with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        ExitCode::SUCCESS
    } else {
        println!(
            "FAILED with seed {}; logs and data are in {}",
            args.seed,
            path.display()
        );
        ExitCode::FAILURE
    };
    println!("{}", outcome.tally.line(outcome.faults));
    Ok(code)
}

/// Runs all steps. All programs have ended when this returns.
fn play(
    steps: &mut Steps,
    checkout: &Checkout,
    folder: &Path,
    args: &ChaosArgs,
    faults: &[Fault],
) -> anyhow::Result<Outcome> {
    if !args.no_build {
        steps.required("build the programs (minutes, the first time)", || {
            checkout.build_programs()
        })?;
    }
    let long = Duration::from_secs(60) * u32::from(args.minutes);
    let stills = (boat::RATE * (long.as_secs_f64() + 120.0)) as usize;
    let whales = steps.required("draw and enrol whales", || {
        Whales::draw(checkout, folder, stills)
    })?;
    let mut storm = steps.required("start the station, provision boats", || {
        Storm::start(checkout, folder, &whales, args.boats.into())
    })?;
    if !storm.has_small_disks() {
        println!("    mounting is not permitted: no disk is filled (see --help)");
    }
    let what = format!("cause {} faults of seed {}", faults.len(), args.seed);
    steps.required(&what, || storm.rage(faults, long))?;
    steps.required("end all faults, deliver everything", || storm.settle())?;
    steps.required("compare boats and shore", || storm.compare())
}
