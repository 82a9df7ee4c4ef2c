//! `cargo xtask`: set-up, tests, demo and measurements of Flukewatch, one command each.
//!
//! It runs the other crates' programs and depends on none of them, so that it starts within seconds
//! on a fresh clone.

mod arm64;
mod bench;
mod boat;
mod chaos;
mod checkout;
mod child;
mod cross;
mod demo;
mod deny;
mod duration;
mod elf;
mod fuzz;
mod images;
mod interrupt;
mod sbom;
mod setup;
mod shim;
mod station;
mod steps;
mod test;
mod zig;

use crate::checkout::Checkout;
use crate::interrupt::{Interrupt, Interrupted};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Set-up, tests, demo and measurements of Flukewatch, one command each.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    max_term_width = 100,
    after_help = "\
Examples:
  cargo xtask demo      run a boat, a shore station and synthetic whales on this machine
  cargo xtask test      run all tests; installs missing tools
  cargo xtask setup     install libtorch for the trainer, and tools for tests
  cargo xtask cross     build the boat's program for aarch64 and test it in an emulator
  cargo xtask boat      run that program on an emulated boat with a camera
  cargo xtask shim      build the TensorRT shims for boats with an NVIDIA GPU
  cargo xtask chaos     make boats, station and links fail at random, and count what is lost
  cargo xtask fuzz      fuzz everything that parses untrusted bytes, a minute for each target
  cargo xtask sbom      write a bill of materials of each program
  cargo xtask deny      check the dependencies: licences, sources, known vulnerabilities
  cargo xtask images    take the documents' screenshots from a run of the demo
  cargo xtask bench train    compare training speed and memory with PyTorch
  cargo xtask bench search   compare catalogue search with faiss and usearch

Exit codes: 0 success; 1 failure, explained by the last lines; 2 invalid arguments; 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::SetupArgs),
    Test(test::TestArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
    Shim(shim::ShimArgs),
    Cross(cross::CrossArgs),
    Boat(boat::BoatArgs),
    Chaos(chaos::ChaosArgs),
    Fuzz(fuzz::FuzzArgs),
    Images(images::ImagesArgs),
    Sbom(sbom::SbomArgs),
    Deny(deny::DenyArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Interrupt::on_signals().and_then(|interrupt| {
        let checkout = Checkout::new(interrupt)?;
        match &cli.command {
            Command::Setup(args) => setup::run(args, &checkout),
            Command::Test(args) => test::run(args, &checkout),
            Command::Demo(args) => demo::run(args, &checkout),
            Command::Bench(args) => bench::run(args, &checkout),
            Command::Shim(args) => shim::run(args, &checkout),
            Command::Cross(args) => cross::run(args, &checkout),
            Command::Boat(args) => boat::run(args, &checkout),
            Command::Chaos(args) => chaos::run(args, &checkout),
            Command::Fuzz(args) => fuzz::run(args, &checkout),
            Command::Images(args) => images::run(args, &checkout),
            Command::Sbom(args) => sbom::run(args, &checkout),
            Command::Deny(args) => deny::run(args, &checkout),
        }
    });
    match done {
        Ok(code) => code,
        Err(e) if e.is::<Interrupted>() => {
            eprintln!("{e}");
            ExitCode::from(130)
        }
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_valid() {
        Cli::command().debug_assert();
    }
}
