//! `flukewatch audit`: find mistakes in labelled photos.

use super::arguments::fraction;
use super::data::TableArgs;
use super::labelled_data::LabelledData;
use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::SamePhoto;
use flukewatch_eval::audit::photos::AuditPhotos;
use flukewatch_eval::audit::{findings, table};
use flukewatch_eval::report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code with --fail-on-findings.
const FINDINGS: u8 = 3;

/// Find mistakes in labelled photos: copies, one whale under two names, wrong labels.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch audit models/humpback-lite0 my-whales.csv --report audit.html --csv audit.csv

Kinds of findings:
  near-duplicate      the same picture twice: re-encoded, resized, brighter, mirrored or taken a moment later; and whether its \
labels agree
  duplicate-identity  two names whose photos are as similar as those of one whale
  mislabelled         a photo far from the others of its whale and near another whale
  single-photo        a whale with a single photo that is near another whale
  unreadable          a photo that cannot be read

A finding is a question for a person; nothing is changed. Findings about identities are cut off at a false discovery rate, \
estimated from the scores of different whales. The estimate is conservative: with 50 labels swapped among 5,427 photos, a rate of \
0.5 gave 45 findings, 40 of them right, and 0.2 gave 40, 37 of them right, with a model trained on the right labels. A model that \
was trained on the mistakes finds few of them. In collections of a few hundred photos the estimate is less certain and less is \
found. The exit code is 0 with or without findings, unless --fail-on-findings is given.")]
pub(crate) struct AuditArgs {
    /// Bundle: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV (columns: flukewatch --help), or a folder with one folder per whale
    data: PathBuf,
    /// Folder of the photos of the CSV [default: the folder next to the CSV with the same name]
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    #[command(flatten)]
    table: TableArgs,
    /// Largest expected fraction of false findings, for each kind about identities
    #[arg(long, value_name = "FRACTION", default_value_t = 0.5, value_parser = fraction)]
    max_false_discovery_rate: f64,
    /// Write an HTML page with the pictures side by side
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write a CSV: kind, photos, whales, score, expected_false, note
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Exit with code 3 if anything is found
    #[arg(long)]
    fail_on_findings: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::open(&args.bundle)?;
    let (table, same) = (&args.table, SamePhoto::Label);
    let data = LabelledData::open_as(table, &args.data, args.photos.as_deref(), same)?;
    let audited = AuditPhotos::read(&bundle, &data.dataset.photos, args.quiet || args.json)?;
    if audited.photos.is_empty() {
        bail!("none of the photos of {} can be read", args.data.display());
    }
    let photos = audited.photos.clone();
    let views = &bundle.manifest.views;
    let findings = findings::find(audited, views, args.max_false_discovery_rate);
    let write = |path: &Path, content: &[u8]| {
        write_atomically(path, content).with_context(|| path.display().to_string())?;
        eprintln!("wrote {}", path.display());
        anyhow::Ok(())
    };
    if let Some(path) = &args.report {
        let source = args.data.display().to_string();
        let page = report::audit::html(&findings, &photos, &source)?;
        write(path, page.as_bytes())?;
    }
    if let Some(path) = &args.csv {
        write(path, &table::csv(&findings)?)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{}", table::text(&findings));
    }
    Ok(if args.fail_on_findings && findings.count() > 0 {
        ExitCode::from(FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}
