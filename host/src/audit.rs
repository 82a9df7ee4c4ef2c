//! `flukewatch audit`: what may be wrong with a collection of labelled photos.
//!
//! [`thumbnail`] and [`copies`] find photos that are one picture; [`neighbours`] sees who is near whom, [`tail`] says how near
//! strangers come by chance, and [`identities`] and [`labels`] what is nearer than that. [`findings`] puts it together under the
//! collection's own names, [`table`] and [`report`] show it.

pub mod copies;
pub mod findings;
pub mod identities;
pub mod labels;
pub mod neighbours;
pub mod report;
pub mod table;
pub mod tail;
pub mod thumbnail;

use crate::dataset::{Dataset, LabelledPhoto};
use crate::embed::{self, EmbedError};
use crate::files::write_atomically;
use anyhow::{Context, bail};
use clap::Args;
use copies::Look;
use findings::{Findings, Unreadable};
use flukewatch_common::bundle::Bundle;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thumbnail::Thumbnail;

/// Exit code for findings where they are to count as a failure.
const FINDINGS: u8 = 3;

/// Look for mistakes in labelled photos: copies, one whale under two names, photos under a wrong name.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  flukewatch audit models/humpback-lite0 my-whales.csv --report audit.html --csv audit.csv

What is looked for:
  near-identical  the same picture twice: re-encoded, resized, brighter, mirrored, or taken a moment later;
                  and whether its labels agree
  one-whale       two names whose photos are as alike as those of one whale
  mislabelled     a photo far from the others of its whale and near another whale
  single-photo    a whale with a single photo that is near another whale
  unreadable      a photo that cannot be used

A finding is a question for a person; nothing is changed. Findings about identities are cut off where, by the scores of strangers, \
the share of false ones among them would pass --false-rate. That errs on the safe side: with 50 labels swapped among 5,427 photos, \
0.5 found 40 of them among 45 findings, 0.2 found 37 among 40; the model had learned from these photos under their right names. A \
model that was trained on the very mistakes has learned them too and finds few. In collections of a few hundred photos chance is \
harder to tell, and less is found. Exit code 0 with findings or without, unless --fail-on-findings is given: then 3 with findings.")]
pub struct AuditArgs {
    /// The bundle, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Labelled photos: a CSV or a folder with a folder for each whale
    data: PathBuf,
    /// The photos of the CSV, if not in the folder beside it that bears its name
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// The share of findings that may be false, for each kind about identities
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    false_rate: f64,
    /// Write a page with the pictures side by side
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
    /// Write a table: kind, photos, whales, score, expected_false, note
    #[arg(long, value_name = "CSV")]
    csv: Option<PathBuf>,
    /// Write JSON to stdout instead of the text
    #[arg(long)]
    json: bool,
    /// End with exit code 3 when anything is found
    #[arg(long)]
    fail_on_findings: bool,
    /// Show no progress bar
    #[arg(long)]
    quiet: bool,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.0..=1.0).contains(rate))
        .ok_or_else(|| format!("'{text}' is no share between 0 and 1"))
}

/// Runs the command.
///
/// # Errors
/// When the bundle or the table cannot be used, no photo can, or a file cannot be written.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::open(&args.bundle)?;
    let dataset = Dataset::open(&args.data, args.photos.as_deref())?;
    let seen = look(&bundle, &dataset.photos, args.quiet || args.json)?;
    if seen.photos.is_empty() {
        bail!("none of the photos of {} can be used", args.data.display());
    }
    let views = &bundle.manifest.views;
    let findings = Findings {
        unreadable: seen.unreadable,
        ..findings::find(&seen.photos, &seen.looks, views, args.false_rate)
    };
    let write = |path: &Path, content: &[u8]| {
        write_atomically(path, content).with_context(|| path.display().to_string())
    };
    if let Some(path) = &args.report {
        let source = args.data.display().to_string();
        write(
            path,
            report::html(&findings, &seen.photos, &source).as_bytes(),
        )?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(path) = &args.csv {
        write(path, &table::csv(&findings)?)?;
        eprintln!("wrote {}", path.display());
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

/// The photos of a dataset as they were seen.
#[derive(Default)]
struct Seen {
    photos: Vec<LabelledPhoto>,
    /// Of each of them.
    looks: Vec<Look>,
    unreadable: Vec<Unreadable>,
}

fn look(bundle: &Bundle, photos: &[LabelledPhoto], quiet: bool) -> Result<Seen, EmbedError> {
    let embeddings = embed::photos(bundle, photos, quiet)?;
    let looks: Vec<Result<Look, EmbedError>> = photos
        .par_iter()
        .zip(embeddings)
        .map(|(photo, embedding)| {
            Ok(Look {
                embedding: embedding?,
                thumbnail: Thumbnail::of(photo)?,
            })
        })
        .collect();
    let mut seen = Seen::default();
    for (photo, look) in photos.iter().zip(looks) {
        match look {
            Ok(look) => {
                seen.photos.push(photo.clone());
                seen.looks.push(look);
            }
            Err(error) => seen.unreadable.push(Unreadable {
                photo: photo.name.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok(seen)
}
