//! `cargo xtask demo`: a boat, a shore station and synthetic whales on this machine.
//!
//! It writes to the folder `demo`, which it empties first.

mod boat;
pub(crate) mod folder;
pub(crate) mod http;
mod judge;
mod outcome;
mod population;
pub(crate) mod shore;
pub(crate) mod sighting;
mod truth;

use crate::checkout::Checkout;
use crate::interrupt::Interrupted;
use crate::station::Broker;
use crate::steps::Steps;
use anyhow::{Context, bail};
use boat::Boat;
use clap::Args;
use folder::DemoFolder;
use outcome::Outcome;
use population::Population;
use shore::Shore;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run the whole pipeline on this machine: whales, boat, shore, and the station's page.
///
/// Draws synthetic whales, enrols half of them with the shipped bundle, starts shore with its own
/// broker, runs a boat that encounters known and new whales, prints each sighting that reaches
/// shore, and compares all of them with the truth. Needs no libtorch, and no network once Cargo has
/// downloaded its crates.
#[derive(Args)]
#[command(after_help = "\
The last lines are
  demo: P published, S stored, L lost, C of N right
and the address of the page. Right means: a whale of the catalogue by its name, another one as new.

Exit codes: 0 nothing was lost and at least 80 % are right; 1 otherwise; 130 interrupted before the comparison.")]
pub(crate) struct DemoArgs {
    /// End after the check instead of serving the page until Ctrl-C
    #[arg(long)]
    no_serve: bool,
    /// Bundle with the model to embed with, instead of the shipped one
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
}

/// The shipped bundle.
pub(crate) const SHIPPED: &str = "models/humpback-lite0";

/// Runs the demo. Shore is ended however this ends.
pub(crate) fn run(args: &DemoArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let model = args
        .bundle
        .clone()
        .unwrap_or_else(|| checkout.path(SHIPPED));
    let model = model
        .canonicalize()
        .with_context(|| format!("bundle {} not found", model.display()))?;
    let folder = DemoFolder::claim(&checkout.path("demo"))?;
    println!(
        "Demo: builds the programs, draws whales, runs a boat and a shore station. Nothing needs to be installed."
    );

    let mut steps = Steps::new();
    let (shore, outcome) = play(&mut steps, checkout, &folder, &model)?;
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

/// Runs all steps. The station is still running when this returns.
pub(crate) fn play(
    steps: &mut Steps,
    checkout: &Checkout,
    folder: &DemoFolder,
    model: &Path,
) -> anyhow::Result<(Shore, Outcome)> {
    steps.required("build the programs (minutes, the first time)", || {
        checkout.build_programs()?;
        println!("    flukewatch, flukewatch-edge and flukewatch-shore are in target/release");
        Ok(())
    })?;
    let population = Population::in_folder(&folder.path("flukes"));
    steps.required(
        "draw synthetic whales, their catalogue and camera frames",
        || population.draw(checkout),
    )?;
    let bundle = folder.path("demo.flukebundle");
    steps.required("enrol the catalogue", || {
        population.enrol(checkout, model, &bundle)
    })?;
    let mut shore = steps.required("start shore with its broker", || {
        let program = checkout.built("flukewatch-shore");
        let photos = population.photos();
        Shore::start(
            checkout,
            &program,
            folder,
            &bundle,
            &photos,
            &Broker::Embedded,
        )
    })?;
    let sequences = population.sequences()?;
    let mut boat = Boat::new(folder, &bundle, shore.broker());
    steps.required("run the boat", || {
        sequences
            .iter()
            .try_for_each(|sequence| boat.watch(checkout, sequence, &mut shore))
    })?;
    let outcome = steps.required("compare with the truth", || {
        let sightings = shore.sightings()?;
        let judged = judge::judge(&sequences, &sightings)?;
        judged.iter().for_each(|row| println!("    {row}"));
        Ok(Outcome::new(boat.published(), &sightings, &judged))
    })?;
    Ok((shore, outcome))
}
