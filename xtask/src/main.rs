//! `cargo xtask`: set-up, tests, demo and measurements of Flukewatch, one command each.
//!
//! It runs the other crates' programs and depends on none of them, so that it starts within seconds on a machine where nothing is
//! built.

mod arm64;
mod bench;
mod boat;
mod child;
mod cross;
mod demo;
mod elf;
mod fuzz;
mod interrupt;
mod setup;
mod shim;
mod steps;
mod test;
mod wording;
mod workshop;
mod zig;

use crate::interrupt::{Interrupt, Interrupted};
use crate::workshop::Workshop;
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
  cargo xtask demo      a boat, a shore station and synthetic whales on this machine, and a page to look at
  cargo xtask test      all tests; installs what they need where it is missing
  cargo xtask setup     only that: libtorch for the trainer, ONNX Runtime and mosquitto for tests
  cargo xtask cross     the boat's program for aarch64, and tests of it in an emulator
  cargo xtask boat      that program on an emulated boat with a camera, and shore beside it
  cargo xtask shim      the shims for TensorRT, for boats with an NVIDIA GPU
  cargo xtask fuzz      input that what reads bytes from outside does not survive: a minute's search for each reader
  cargo xtask bench train    speed and memory of training, beside PyTorch in Python
  cargo xtask bench search   speed of the search in the catalogue, beside faiss and usearch

Exit codes: 0 all is well; 1 something is not, and the last lines say what; 2 wrong command line; 130 interrupted."
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
    Fuzz(fuzz::FuzzArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Interrupt::on_signals().and_then(|interrupt| {
        let workshop = Workshop::new(interrupt)?;
        match &cli.command {
            Command::Setup(args) => setup::run(args, &workshop),
            Command::Test(args) => test::run(args, &workshop),
            Command::Demo(args) => demo::run(args, &workshop),
            Command::Bench(args) => bench::run(args, &workshop),
            Command::Shim(args) => shim::run(args, &workshop),
            Command::Cross(args) => cross::run(args, &workshop),
            Command::Boat(args) => boat::run(args, &workshop),
            Command::Fuzz(args) => fuzz::run(args, &workshop),
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
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
