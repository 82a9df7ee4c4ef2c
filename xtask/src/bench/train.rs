//! `cargo xtask bench train`: our trainer compared with PyTorch in Python, on the same task.

mod comparison;
mod division;
mod job;
mod ours;
mod peer;
mod run;

use super::cores::Cores;
use crate::checkout::Checkout;
use crate::setup::{self, libtorch};
use crate::steps::Steps;
use anyhow::{Context, bail};
use clap::Args;
use comparison::Comparison;
use job::Job;
use ours::Ours;
use peer::{Peer, Setting};
use run::Run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure training: photos per second and peak memory, compared with PyTorch, torchvision and
/// pytorch-metric-learning in Python.
///
/// Both train EfficientNet-Lite0 with ArcFace on the same synthetic photos, with the same batches
/// and augmentation, on the same two cores, in turns. The peer uses the fastest of several settings
/// (threads, workers, memory layout). The first epoch of each run warms up and is not counted. Keep
/// the machine otherwise idle.
///
/// The first call installs the peer with pip into .tools/bench-train (4.7 GB, since torch's CUDA
/// libraries are needed to import it), and makes a release build of flukewatch with the trainer;
/// each takes minutes. Delete the folder when you are done.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench train
      three rounds of each, after installing and building
  cargo xtask bench train --quick --python ~/venv/bin/python
      a quick look, with an environment that has torch, torchvision and pytorch-metric-learning

The last line is
  images/s ratio: X.XX
which is our images/s divided by the peer's. A missed target is not a failure.

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchTrainArgs {
    /// Training runs of each; medians count
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// One round, one epoch after warming up, and fewer settings of the peer: not reliable enough
    /// to quote
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// An existing Python with the packages of the peer
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

/// Threads of each trainer, pinned to as many cores.
const THREADS: usize = 2;
/// The synthetic photos: 320, in 10 batches per epoch.
const POPULATION: [(&str, &str); 4] = [
    ("--seed", "2026"),
    ("--whales", "64"),
    ("--photos-per-whale", "5"),
    ("--queries-per-whale", "0"),
];
/// Epochs of a run, the first of which warms up.
const EPOCHS: usize = 4;
/// Epochs of a run with `--quick`.
const EPOCHS_OF_A_LOOK: usize = 2;

/// Runs the measurement in `target/bench/train`, which is emptied first.
pub(crate) fn run(args: &BenchTrainArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let (rounds, epochs) = if args.quick {
        (1, EPOCHS_OF_A_LOOK)
    } else {
        (args.rounds, EPOCHS)
    };
    let cores = Cores::first(THREADS)?;
    let mut steps = Steps::new();
    setup::libtorch_step(&mut steps, checkout, libtorch::Form::Light)?;
    let python = steps.required("install PyTorch for Python", || {
        peer::python(checkout, args.python.as_deref())
    })?;
    steps.required("build flukewatch with the trainer", || {
        super::build(checkout)
    })?;
    let program = checkout.built("flukewatch");

    let folder = checkout.target().join("bench/train");
    let population = folder.join("population");
    steps.required("draw synthetic whales to train on", || {
        empty(&folder)?;
        draw(checkout, &program, &population)
    })?;
    let ours = Ours {
        checkout,
        program,
        cores: &cores,
        folder: &folder,
    };
    let peer = Peer {
        checkout,
        python,
        cores: &cores,
        folder: &folder,
    };
    let job = Job::on(&population, epochs);
    let job_file = write(&job, &folder.join("job.json"))?;
    let look = Job::on(&population, EPOCHS_OF_A_LOOK);
    let look_file = write(&look, &folder.join("look.json"))?;

    let settings = if args.quick {
        &Setting::ALL[..2]
    } else {
        &Setting::ALL[..]
    };
    let (setting, versions) = steps.required("find the peer's fastest setting", || {
        fastest(&peer, &look_file, settings)
    })?;
    let mut metrics = vec![];
    let comparison = steps.required("train in turns", || {
        let (mut of_ours, mut of_peer) = (vec![], vec![]);
        for round in 1..=rounds {
            let (run, report) = ours.train(&format!("ours-{round}"), &job, &[])?;
            print_run("Flukewatch", &run);
            of_ours.push(run);
            metrics = report;
            let (run, _) = peer.train(&format!("peer-{round}"), &job_file, setting)?;
            print_run("PyTorch", &run);
            of_peer.push(run);
        }
        Ok(Comparison::of(of_ours, of_peer))
    })?;
    let division = if division::is_timed(&metrics) {
        steps.required("train divided in four", || {
            let (_, metrics) = ours.train("divided", &job, &division::DIVIDED)?;
            Ok(division::line(&metrics))
        })?
    } else {
        "divided in four: this trainer does not report the times of clustering and mining"
            .to_owned()
    };

    println!("\n{}\n\n{comparison}\n{division}", steps.summary());
    println!("both pinned to cores {cores}");
    println!(
        "Flukewatch: {THREADS} threads and one for batch preparation; libtorch {}",
        libtorch::VERSION
    );
    println!("PyTorch: {setting}; {versions}");
    println!("{}", comparison.line());
    Ok(ExitCode::SUCCESS)
}

fn print_run(who: &str, run: &Run) {
    println!(
        "    {who:<10} {:>6.1} images/s  {:>6.0} MB",
        run.images_per_second,
        run.peak as f64 / 1e6
    );
}

/// Removes the files of an earlier measurement.
fn empty(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))
}

fn draw(checkout: &Checkout, program: &Path, population: &Path) -> anyhow::Result<()> {
    let mut synth = checkout.program(program);
    synth.arg("synth").arg("--out").arg(population);
    for (option, value) in POPULATION {
        synth.args([option, value]);
    }
    checkout.run(&mut synth)
}

fn write(job: &Job, path: &Path) -> anyhow::Result<PathBuf> {
    let text = serde_json::to_string_pretty(job)?;
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path.to_owned())
}

/// The fastest setting of the peer, and the versions of its packages.
fn fastest(peer: &Peer, job: &Path, settings: &[Setting]) -> anyhow::Result<(Setting, String)> {
    let mut best: Option<(f64, Setting, String)> = None;
    for (number, &setting) in (1..).zip(settings) {
        let (run, versions) = peer.train(&format!("peer-setting-{number}"), job, setting)?;
        println!("    {:>6.1} images/s  {setting}", run.images_per_second);
        let speed = run.images_per_second;
        if best.as_ref().is_none_or(|(most, ..)| speed > *most) {
            best = Some((speed, setting, versions));
        }
    }
    match best {
        Some((_, setting, versions)) => Ok((setting, versions)),
        None => bail!("no settings of the peer"),
    }
}
