//! `cargo xtask setup`: what Cargo cannot fetch.

pub(crate) mod debian;
pub(crate) mod environment;
pub(crate) mod libtorch;
pub(crate) mod mosquitto;
pub(crate) mod onnx_runtime;
mod python;
pub(crate) mod tensorrt_rtx;

use crate::steps::Steps;
use crate::workshop::Workshop;
use clap::Args;
use std::process::ExitCode;

/// Install what Cargo cannot fetch: libtorch for the trainer, ONNX Runtime, TensorRT-RTX and mosquitto for tests.
///
/// libtorch comes from PyPI's torch package into .libtorch, ONNX Runtime and TensorRT-RTX (250 MB) into .tools; nothing outside of this folder is touched but
/// for Debian's packages mosquitto and, where pip is missing, python3-pip and python3-venv. What is there already stays.
#[derive(Args)]
pub(crate) struct SetupArgs {
    /// libtorch with everything that training on an NVIDIA GPU needs: 4.7 GB instead of 1.2 GB
    #[arg(long, conflicts_with = "no_torch")]
    cuda: bool,
    /// Leave libtorch out; without it everything but training works
    #[arg(long)]
    no_torch: bool,
}

/// Installs what is missing.
pub(crate) fn run(args: &SetupArgs, workshop: &Workshop) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    if !args.no_torch {
        let form = if args.cuda {
            libtorch::Form::Cuda
        } else {
            libtorch::Form::Light
        };
        libtorch_step(&mut steps, workshop, form)?;
    }
    test_tools(&mut steps, workshop)?;
    println!("\n{}", steps.summary());
    Ok(if steps.all_done() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The step that installs libtorch where it is missing.
pub(crate) fn libtorch_step(
    steps: &mut Steps,
    workshop: &Workshop,
    form: libtorch::Form,
) -> anyhow::Result<()> {
    steps.take("libtorch, for the trainer", || {
        libtorch::install(workshop, form)
    })
}

/// The steps that install what only tests use. Each may fail: then tests are skipped.
pub(crate) fn test_tools(steps: &mut Steps, workshop: &Workshop) -> anyhow::Result<()> {
    steps.wish("ONNX Runtime, to compare inference engines with", || {
        onnx_runtime::ONNX_RUNTIME.install(workshop)
    })?;
    steps.wish("TensorRT-RTX, to ask what TensorRT makes of models", || {
        tensorrt_rtx::TENSORRT_RTX.install(workshop)
    })?;
    steps.wish("mosquitto, a broker that is not ours", || {
        mosquitto::install(workshop)
    })?;
    Ok(())
}
