//! `cargo xtask bench recipes`: retrieval of several training recipes on unseen photos, with equal
//! numbers of steps.

mod recipe;
mod score;
mod table;

use super::measured;
use crate::checkout::Checkout;
use crate::setup::{self, libtorch};
use crate::steps::Steps;
use clap::Args;
use recipe::{RECIPES, Recipe};
use score::Score;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compare training recipes: margin loss and ArcFace, with the embedding undivided and divided in
/// four, several seeds each.
///
/// Every run has the same numbers of photos and steps. Each trained network is exported in 32-bit
/// floats and evaluated on the photos of --test, leave one out; new whales are separated from known
/// ones with half of the whales enrolled. Existing runs are not repeated, so that an interrupted
/// measurement can be resumed.
#[derive(Args)]
#[command(after_help = "\
Example:
  cargo xtask bench recipes --train ../shared/flukes/train.csv --test ../shared/flukes/devtest.csv \\
      --weights ../shared/weights/efficientnet_lite0.safetensors

The table goes to stdout as Markdown, in the format of host/BENCHMARKS.md. With 8 epochs at 96 x 192 a run takes about ten minutes on two \
cores, all twelve two hours.

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchRecipesArgs {
    /// Labelled photos to train on
    #[arg(long, value_name = "CSV|DIR")]
    train: PathBuf,
    /// Labelled photos of other whales to evaluate on
    #[arg(long, value_name = "CSV|DIR")]
    test: PathBuf,
    /// Pretrained weights of EfficientNet-Lite0
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Number of seeds, from 1 on
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    seeds: u32,
    /// Epochs of each run
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=1000))]
    epochs: u32,
    /// Input height in pixels; the width is twice the height
    #[arg(long, default_value_t = 96, value_name = "PIXELS")]
    height: u32,
    /// Only the recipe of this name (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// An existing flukewatch with the trainer, instead of a release build
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

/// Runs the measurement in `target/bench/recipes`.
pub(crate) fn run(args: &BenchRecipesArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let chosen: Vec<&Recipe> = RECIPES
        .iter()
        .filter(|r| args.only.is_empty() || args.only.iter().any(|name| name == r.name))
        .collect();
    if let Some(name) = args
        .only
        .iter()
        .find(|name| RECIPES.iter().all(|r| r.name != **name))
    {
        let names: Vec<_> = RECIPES.iter().map(|r| r.name).collect();
        anyhow::bail!(
            "unknown recipe '{name}'; expected one of {}",
            names.join(", ")
        );
    }
    let mut steps = Steps::new();
    let program = match &args.program {
        Some(program) => program.clone(),
        None => {
            setup::libtorch_step(&mut steps, checkout, libtorch::Form::Light)?;
            steps.required("build flukewatch with the trainer", || {
                super::build(checkout)
            })?;
            checkout.built("flukewatch")
        }
    };
    let folder = checkout
        .target()
        .join("bench/recipes")
        .join(format!("{}-epochs-{}-pixels", args.epochs, args.height));
    let mut found: Vec<(&Recipe, Vec<Score>)> = chosen.iter().map(|&r| (r, vec![])).collect();
    // All recipes with one seed before the next, so that an interrupted measurement can be
    // compared.
    for seed in 1..=args.seeds {
        for (recipe, scores) in &mut found {
            let title = format!("{}, seed {seed}", recipe.name);
            let score = steps.required(&title, || {
                measure(args, checkout, &program, &folder, recipe, seed)
            })?;
            println!("    {score}");
            scores.push(score);
        }
    }
    eprintln!("\n{}\n", steps.summary());
    print!("{}", table::markdown(&found, args.epochs, args.height));
    Ok(ExitCode::SUCCESS)
}

/// Trains, exports and evaluates, reusing the results of earlier calls.
fn measure(
    args: &BenchRecipesArgs,
    checkout: &Checkout,
    program: &Path,
    folder: &Path,
    recipe: &Recipe,
    seed: u32,
) -> anyhow::Result<Score> {
    let run = folder.join(format!("{}-{seed}", recipe.name));
    let saved = run.join("score.json");
    if let Ok(score) = Score::read(&saved) {
        return Ok(score);
    }
    let mut train = checkout.program(program);
    train.args(["train", "--quiet", "--data"]).arg(&args.train);
    train.arg("--weights").arg(&args.weights);
    train.arg("--run").arg(&run);
    for setting in recipe.settings(seed, args.epochs, args.height) {
        train.args(["--set", &setting]);
    }
    checkout.run(&mut train)?;
    let bundle = run.join("float.flukebundle");
    let mut export = checkout.program(program);
    export.arg("export").arg(&run).arg("--float");
    export.arg("--data").arg(&args.train);
    export.arg("--out").arg(&bundle);
    checkout.run(&mut export)?;
    let mut evaluate = checkout.program(program);
    evaluate.arg("evaluate").arg(&bundle).arg(&args.test);
    evaluate.args(["--protocol", "all", "--bootstrap", "0", "--quiet", "--json"]);
    let answer = measured::run(checkout, &mut evaluate, &run, "evaluation")?;
    let score = Score::of(answer.printed.as_bytes())?;
    score.write(&saved)?;
    Ok(score)
}
