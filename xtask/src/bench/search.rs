//! `cargo xtask bench search`: the catalogue search compared with faiss and usearch, on the same
//! task.

mod table;

use super::cores::Cores;
use super::empty;
use super::measured;
use crate::checkout::Checkout;
use crate::setup::environment::Environment;
use crate::steps::Steps;
use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Printed, Size};

/// Measure the search: milliseconds per query on one thread, compared with the exact searches of
/// faiss and usearch.
///
/// For each size, whales with five photos each are drawn, and 15 queries. All search the same
/// embeddings, one query at a time as on a boat, on one core, in turns. Flukewatch answers with the
/// five best whales, the peers with the five best photos. Its catalogue is memory-mapped from its
/// file.
///
/// The first call installs the peers with pip into .tools/bench-search (150 MB), and makes a
/// release build of the inference engine. 1,000,000 embeddings take 3.5 GB of disk in
/// target/bench/search during the measurement, and 5 GB of memory for the peers.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench search
      10,000, 100,000 and 1,000,000 embeddings of 256 numbers
  cargo xtask bench search --sizes 100000 --dimension 1024 --python ~/venv/bin/python
      the dimension of the shipped model, with an environment that has faiss-cpu, usearch and numpy
  cargo xtask bench search --sizes 10000 --bundle azores.flukebundle
      and whether the search names the same photos as floats on your own whales, leave one out

The last line is
  search ratio: X.XX
which is the fastest peer's time over ours, at the size where that is least.

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchSearchArgs {
    /// Numbers of embeddings
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000],
          value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    sizes: Vec<u32>,
    /// Dimension of the embeddings
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=4096))]
    dimension: u32,
    /// Rounds over all queries; medians count
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=999))]
    rounds: u32,
    /// Also search each enrolled photo of a bundle among the others, quantised and in floats
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// An existing Python with the packages of the peers
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

/// Python environment of the peers.
const ENVIRONMENT: Environment = Environment {
    folder: ".tools/bench-search",
    packages: &["faiss-cpu==1.15.1", "usearch==2.26.6", "numpy==2.4.6"],
};
const PEER: &str = "xtask/src/bench/search/peer.py";
const OURS: &str = "bench_search";

/// The output of our program on a bundle.
#[derive(Deserialize)]
struct Agreement {
    photos: u64,
    dimension: u64,
    same: u64,
}

/// Runs the measurement in `target/bench/search`, which is emptied first.
pub(crate) fn run(args: &BenchSearchArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let core = Cores::first(1)?;
    let mut steps = Steps::new();
    let python = steps.required("install faiss and usearch for Python", || {
        python(checkout, args.python.as_deref())
    })?;
    steps.required("build our program", || {
        let mut cargo = checkout.cargo();
        cargo.args(["build", "--release", "--workspace"]);
        checkout.run(cargo.args(["--example", OURS]))
    })?;
    let ours = checkout.built("examples").join(OURS);
    let folder = checkout.target().join("bench/search");
    let mut sizes = vec![];
    for &photos in &args.sizes {
        let title = format!("{photos} embeddings of dimension {}", args.dimension);
        let size = steps.required(&title, || {
            empty(&folder)?;
            let mut draw = checkout.program(&ours);
            draw.arg("draw").arg(&folder);
            draw.args([photos.to_string(), args.dimension.to_string()]);
            checkout.run(&mut draw)?;
            let mut peer = core.program(checkout, &python);
            peer.arg(PEER).arg(&ours).arg(&folder);
            // One thread each, also for the libraries below the peers.
            peer.env("OMP_NUM_THREADS", "1");
            peer.args(["--rounds", &args.rounds.to_string()]);
            let measured = measured::run(checkout, &mut peer, &folder, "peer")?;
            let printed: Printed = serde_json::from_str(&measured.printed)
                .with_context(|| format!("unexpected output of {PEER}: {}", measured.printed))?;
            Ok(Size { photos, printed })
        })?;
        println!("{size}");
        sizes.push(size);
    }
    empty(&folder)?;
    let agreement = match &args.bundle {
        None => None,
        Some(bundle) => Some(
            steps.required("compare with floats on enrolled photos", || {
                agreement(checkout, &ours, bundle)
            })?,
        ),
    };
    println!("\n{}\n", steps.summary());
    for size in &sizes {
        println!("{size}");
    }
    if let Some(agreement) = agreement {
        println!("{agreement}\n");
    }
    println!("medians of {} rounds, on core {core}", args.rounds);
    if let Some(size) = sizes.first() {
        println!("{}", size.printed.made_of());
    }
    let least = sizes.iter().map(Size::ratio).fold(f64::INFINITY, f64::min);
    println!("search ratio: {least:.2}");
    Ok(ExitCode::SUCCESS)
}

fn agreement(checkout: &Checkout, ours: &Path, bundle: &Path) -> anyhow::Result<String> {
    let bundle = std::path::absolute(bundle).with_context(|| format!("{}", bundle.display()))?;
    let printed = checkout.ask(checkout.program(ours).arg("agree").arg(&bundle));
    let Some(printed) = printed else {
        bail!(
            "{} cannot be searched; run `flukewatch inspect` for details",
            bundle.display()
        );
    };
    let Agreement {
        photos,
        dimension,
        same,
    } = serde_json::from_str(&printed)
        .with_context(|| format!("unexpected output of {OURS}: {printed}"))?;
    Ok(format!(
        "{}: the same photo and score as in floats for {same} of {photos} photos, dimension {dimension}",
        bundle.display()
    ))
}

/// The Python of `--python`, or that of a separate environment, created if it is missing.
///
/// # Errors
/// If it cannot be created, or lacks a package of the peers; says how to install it.
fn python(checkout: &Checkout, own: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(own) = own else {
        ENVIRONMENT.install(checkout)?;
        return Ok(ENVIRONMENT.python(checkout));
    };
    // Absolute, but symlinks are not resolved: an environment is identified by its link to Python.
    let python = std::path::absolute(own).with_context(|| format!("{}", own.display()))?;
    let imports = "import faiss, usearch.index, numpy; print(faiss.__version__)";
    match checkout.ask(checkout.program(&python).args(["-c", imports])) {
        Some(version) => println!("    {} with faiss {}", python.display(), version.trim()),
        None => bail!(
            "{python} does not run, or lacks one of faiss, usearch and numpy; run: {python} -m pip install {packages}",
            python = python.display(),
            packages = ENVIRONMENT.packages.join(" ")
        ),
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_without_the_peers_is_an_error_that_says_what_to_install() {
        let here = Checkout::at(Path::new("."));
        let error = python(&here, Some(Path::new("/no/python"))).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("/no/python does not run"), "{said}");
        assert!(
            said.ends_with(
                "/no/python -m pip install faiss-cpu==1.15.1 usearch==2.26.6 numpy==2.4.6"
            ),
            "{said}"
        );
    }
}
