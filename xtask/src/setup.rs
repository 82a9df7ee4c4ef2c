//! `cargo xtask setup`: installs the dependencies that Cargo cannot fetch.

pub(crate) mod debian;
pub(crate) mod environment;
pub(crate) mod libtorch;
pub(crate) mod mosquitto;
pub(crate) mod onnx_runtime;
mod python;
pub(crate) mod tensorrt_rtx;

use crate::checkout::Checkout;
use crate::steps::Steps;
use clap::Args;
use std::process::ExitCode;

/// Install what Cargo cannot fetch: libtorch for the trainer, ONNX Runtime, TensorRT-RTX and
/// mosquitto for tests.
///
/// libtorch comes from PyPI's torch package into .libtorch, ONNX Runtime and TensorRT-RTX (250 MB)
/// into .tools. Outside of this folder only Debian's packages mosquitto and, if pip is missing,
/// python3-pip and python3-venv are installed. Existing installations are kept.
#[derive(Args)]
pub(crate) struct SetupArgs {
    /// Install libtorch with CUDA, for training on an NVIDIA GPU: 4.7 GB instead of 1.2 GB
    #[arg(long, conflicts_with = "no_torch")]
    cuda: bool,
    /// Skip libtorch; everything but training works without it
    #[arg(long)]
    no_torch: bool,
}

/// Installs missing dependencies.
pub(crate) fn run(args: &SetupArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    if !args.no_torch {
        let form = if args.cuda {
            libtorch::Form::Cuda
        } else {
            libtorch::Form::Light
        };
        libtorch_step(&mut steps, checkout, form)?;
    }
    test_tools(&mut steps, checkout)?;
    println!("\n{}", steps.summary());
    Ok(if steps.all_done() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The step that installs libtorch if it is missing.
pub(crate) fn libtorch_step(
    steps: &mut Steps,
    checkout: &Checkout,
    form: libtorch::Form,
) -> anyhow::Result<()> {
    steps.required("install libtorch for the trainer", || {
        libtorch::install(checkout, form)
    })
}

/// The steps that install what only tests use. If one fails, its tests are skipped.
pub(crate) fn test_tools(steps: &mut Steps, checkout: &Checkout) -> anyhow::Result<()> {
    steps.optional("install ONNX Runtime, to compare inference engines", || {
        onnx_runtime::ONNX_RUNTIME.install(checkout)
    })?;
    steps.optional("install TensorRT-RTX, to check models", || {
        tensorrt_rtx::TENSORRT_RTX.install(checkout)
    })?;
    steps.optional("install mosquitto, an external broker", || {
        mosquitto::install(checkout)
    })?;
    Ok(())
}
