//! `cargo xtask demo`: a boat, a shore station and synthetic whales on this machine.
//!
//! Everything that it writes lies in the folder `demo`, which is made anew each time.

mod boat;
pub(crate) mod folder;
pub(crate) mod http;
mod judge;
mod outcome;
mod population;
pub(crate) mod shore;
pub(crate) mod sighting;
mod truth;

use crate::interrupt::Interrupted;
use crate::steps::Steps;
use crate::workshop::Workshop;
use anyhow::{Context, bail};
use boat::Boat;
use clap::Args;
use folder::DemoFolder;
use outcome::Outcome;
use population::Population;
use shore::Shore;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show the whole way on this machine: whales, boat, shore, and a page to look at.
///
/// Draws synthetic whales, enrols half of them with the shipped bundle, starts shore with its own broker, lets a boat meet known and new
/// whales, shows each sighting as it reaches shore, and compares all of them with the truth. Needs no libtorch and no network once
/// Cargo has its crates.
#[derive(Args)]
#[command(after_help = "\
The last lines are
  demo: P published, S stored, L lost, C of N right
and where the page is. Right is a whale of the catalogue by its name, or a whale that it does not hold as new.

Exit codes: 0 nothing was lost and at least 80 % are right; 1 otherwise; 130 interrupted before that was known.")]
pub(crate) struct DemoArgs {
    /// End after the check instead of serving the page until Ctrl-C
    #[arg(long)]
    no_serve: bool,
    /// Another bundle than the shipped one, to embed with
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
}

/// The bundle that comes with Flukewatch.
const SHIPPED: &str = "models/humpback-lite0";

/// Runs the demo. Shore is ended however this ends.
pub(crate) fn run(args: &DemoArgs, workshop: &Workshop) -> anyhow::Result<ExitCode> {
    let model = args
        .bundle
        .clone()
        .unwrap_or_else(|| workshop.path(SHIPPED));
    let model = model
        .canonicalize()
        .with_context(|| format!("there is no bundle {}", model.display()))?;
    let folder = DemoFolder::claim(&workshop.path("demo"))?;
    println!("The demo needs Rust and a C compiler, which are here; there is nothing to install.");

    let mut steps = Steps::new();
    let (shore, outcome) = play(&mut steps, workshop, &folder, &model)?;
    println!("\n{}\n\n{}", steps.summary(), outcome.verdict());
    let code = if outcome.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    println!("{}", outcome.line());
    if args.no_serve {
        return Ok(code);
    }
    println!(
        "The sightings are at http://{}/ until you press Ctrl-C.",
        shore.http()
    );
    match shore.serve() {
        Err(e) if e.is::<Interrupted>() => Ok(code),
        Err(e) => Err(e),
        Ok(status) => bail!(
            "shore ended by itself ({status}); see {}",
            folder.path("shore.log").display()
        ),
    }
}

fn play(
    steps: &mut Steps,
    workshop: &Workshop,
    folder: &DemoFolder,
    model: &Path,
) -> anyhow::Result<(Shore, Outcome)> {
    steps.take("build the three programs", || {
        println!("    (the first time takes minutes, nearly all of it other people's crates)");
        let mut cargo = workshop.cargo();
        cargo.args(["build", "--workspace"]);
        for program in ["flukewatch", "flukewatch-edge", "flukewatch-shore"] {
            cargo.args(["--bin", program]);
        }
        workshop.run(&mut cargo)
    })?;
    let population = Population::in_folder(&folder.path("flukes"));
    steps.take(
        "draw synthetic whales, their catalogue and what a camera sees",
        || population.draw(workshop),
    )?;
    let bundle = folder.path("demo.flukebundle");
    steps.take("enrol the catalogue's whales with the bundle", || {
        population.enrol(workshop, model, &bundle)
    })?;
    let mut shore = steps.take("start shore with its broker", || {
        let program = workshop.built("flukewatch-shore");
        Shore::start(workshop, &program, folder, &bundle, &population.photos())
    })?;
    let sequences = population.sequences()?;
    let mut boat = Boat::new(folder, &bundle, shore.mqtt());
    steps.take("let the boat watch, and shore listen", || {
        sequences
            .iter()
            .try_for_each(|sequence| boat.watch(workshop, sequence, &mut shore))
    })?;
    let outcome = steps.take("compare with the truth", || {
        let sightings = shore.sightings()?;
        let judged = judge::judge(&sequences, &sightings)?;
        judged.iter().for_each(|row| println!("    {row}"));
        Ok(Outcome::new(boat.published(), &sightings, &judged))
    })?;
    Ok((shore, outcome))
}
