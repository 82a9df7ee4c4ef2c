//! `cargo xtask bench infer`: the model in tract as on the boat, compared with ONNX Runtime, rten
//! and unmodified tract.

mod table;

use super::cores::Cores;
use super::measured;
use crate::checkout::Checkout;
use crate::setup::onnx_runtime::ONNX_RUNTIME;
use crate::steps::Steps;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Measured, OURS};

/// Measure inference: milliseconds per photo, time to load and memory, compared with ONNX Runtime,
/// rten and tract without our kernels.
///
/// All run the bundle's model at its input size, one view per run: the quantised file as on the
/// boat (int8 weights converted to floats), the float model, and the quantised file node by node.
/// With one thread and with two, taking turns, pinned to as many cores.
///
/// The first call installs ONNX Runtime with pip into .tools/onnxruntime and builds rten in
/// target/bench/infer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench infer
  cargo xtask bench infer --bundle my-model.flukebundle --threads 1 --rounds 21

The last line is
  tract/onnxruntime ratio: X.XX
which is the time of the model as the boat runs it over that of ONNX Runtime with the same model in floats, on one thread.

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchInferArgs {
    /// The bundle with the model, a folder
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Numbers of threads
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [1, 2],
          value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Vec<u32>,
    /// Turns of each contender; medians count
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=999))]
    rounds: u32,
    /// Runs of the model per turn
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9999))]
    runs: u32,
}

/// Runs the contenders in turns; also the contender for ONNX Runtime.
const PEER: &str = "xtask/src/bench/infer/peer.py";
/// The contender for rten.
const RTEN: &str = "xtask/src/bench/infer/rten";

/// A contender in the input of [`PEER`].
#[derive(Serialize)]
struct Contender {
    what: &'static str,
    threads: u32,
    command: Vec<String>,
}

/// Runs the measurement in `target/bench/infer`.
pub(crate) fn run(args: &BenchInferArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("ONNX Runtime, a peer", || ONNX_RUNTIME.install(checkout))?;
    let folder = checkout.target().join("bench/infer");
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    steps.required("build our contenders", || {
        let mut cargo = checkout.cargo();
        cargo.args(["build", "--release", "--workspace"]);
        cargo.args(["--example", "bench_infer", "--example", "plain_tract"]);
        checkout.run(&mut cargo)
    })?;
    steps.required("build rten, a peer", || {
        let mut cargo = checkout.cargo();
        cargo.args(["build", "--release", "--manifest-path"]);
        cargo.arg(checkout.path(RTEN).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(folder.join("rten"));
        checkout.run(&mut cargo)
    })?;
    let example = |name| checkout.built("examples").join(name);
    let ours = example("bench_infer");
    let quantised = std::path::absolute(args.bundle.join("model.onnx"))
        .with_context(|| format!("{}", args.bundle.display()))?;
    let floats = folder.join("floats.onnx");
    steps.required("write the float model", || {
        let mut command = checkout.program(&ours);
        command.arg("floats").arg(&quantised).arg(&floats);
        checkout.run(&mut command)
    })?;
    let python = ONNX_RUNTIME.python(checkout);
    let for_rten = folder.join("floats-rten.onnx");
    steps.required("convert it for rten", || {
        let mut command = checkout.program(&python);
        command.arg(PEER).arg("rewrite").arg(&floats).arg(&for_rten);
        checkout.run(&mut command)
    })?;
    let mut measured: Vec<Measured> = vec![];
    for &threads in &args.threads {
        let title = format!("{} rounds on {threads} threads", args.rounds);
        let found = steps.required(&title, || {
            let cores = Cores::first(threads as usize)?;
            let rten = folder.join("rten/release/rten-peer");
            let contenders = contenders(
                threads,
                [&ours, &example("plain_tract"), &rten],
                &python,
                [&floats, &quantised, &for_rten],
            );
            let file = folder.join("contenders.json");
            fs::write(&file, serde_json::to_vec_pretty(&contenders)?)?;
            let mut turns = cores.program(checkout, &python);
            turns.arg(PEER).arg("turns").arg(&file);
            turns.args([
                "--rounds",
                &args.rounds.to_string(),
                "--runs",
                &args.runs.to_string(),
            ]);
            let answer = measured::run(checkout, &mut turns, &folder, "turns")?;
            let found: Vec<Measured> = serde_json::from_str(&answer.printed)
                .with_context(|| format!("unexpected output of {PEER}: {}", answer.printed))?;
            Ok(found)
        })?;
        measured.extend(found);
    }
    eprintln!("\n{}\n", steps.summary());
    print!("{}", table::markdown(&measured));
    println!("\nmedians of {} turns of {} runs", args.rounds, args.runs);
    println!("tract/onnxruntime ratio: {:.2}", table::ratio(&measured));
    Ok(ExitCode::SUCCESS)
}

fn contenders(
    threads: u32,
    [ours, plain, rten]: [&Path; 3],
    python: &Path,
    [floats, quantised, for_rten]: [&Path; 3],
) -> Vec<Contender> {
    let own = threads.to_string();
    let contender = |what, program: &Path, args: &[&Path]| Contender {
        what,
        threads,
        command: std::iter::once(program)
            .chain(args.iter().copied())
            .map(|part| part.to_string_lossy().into_owned())
            .chain([own.clone()])
            .collect(),
    };
    let (serve, stripped, as_is) = (
        Path::new("serve"),
        Path::new("stripped"),
        Path::new("as-is"),
    );
    let (peer, onnx_runtime) = (Path::new(PEER), Path::new("onnxruntime"));
    vec![
        contender(OURS, ours, &[serve, quantised, stripped]),
        contender("Flukewatch, f32", ours, &[serve, floats, stripped]),
        contender(
            "Flukewatch, int8 node by node",
            ours,
            &[serve, quantised, as_is],
        ),
        contender("unmodified tract, f32", plain, &[floats]),
        contender(table::PEER, python, &[peer, onnx_runtime, floats]),
        contender(
            "ONNX Runtime, int8",
            python,
            &[peer, onnx_runtime, quantised],
        ),
        contender("rten, f32", rten, &[for_rten]),
    ]
}
