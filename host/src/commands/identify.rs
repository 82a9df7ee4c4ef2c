//! `flukewatch identify`: rank the known whales for each photo.

use anyhow::bail;
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::catalogue::Match;
use flukewatch_common::decision::Decision;
use flukewatch_common::local_matching::search_encounter;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::embed;
use serde::Serialize;
use std::path::PathBuf;

/// Identify the whales on photos.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch identify azores.flukebundle today/*.jpg
  flukewatch identify azores.flukebundle one.jpg --box 120,80,900,430 --json

A photo that cannot be read is reported; the others are still identified, and the exit code is 1.")]
pub(crate) struct IdentifyArgs {
    /// Bundle with enrolled whales: a folder or a .flukebundle file
    bundle: PathBuf,
    /// Photos: JPEG, PNG, TIFF or WebP
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// Box of the fluke in every photo, in pixels: left,top,right,bottom [default: the whole photo]
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", value_parser = parse_box)]
    region: Option<PixelBox>,
    /// Number of whales to list for each photo
    #[arg(long, default_value_t = 5, value_name = "N")]
    top: usize,
    /// Write JSON: a list with one object per photo
    #[arg(long)]
    json: bool,
}

fn parse_box(text: &str) -> Result<PixelBox, String> {
    let sides: Vec<u32> = text
        .split(',')
        .filter_map(|t| t.trim().parse().ok())
        .collect();
    match sides[..] {
        [x0, y0, x1, y1] if x0 < x1 && y0 < y1 && text.split(',').count() == 4 => {
            Ok(PixelBox { x0, y0, x1, y1 })
        }
        _ => Err(
            "expected left,top,right,bottom in pixels, with left < right and top < bottom".into(),
        ),
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    photo: String,
    /// known, new, review or error
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    whale: Option<String>,
    /// Probability that the first candidate is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    candidates: Vec<Match>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(args: &IdentifyArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    if bundle.catalogue.is_empty() {
        bail!(
            "{} has no enrolled whales; add some with flukewatch enroll",
            args.bundle.display()
        );
    }
    let photos: Vec<LabelledPhoto> = args
        .photos
        .iter()
        .map(|path| LabelledPhoto {
            path: path.clone(),
            name: path.display().to_string(),
            whale: None,
            region: args.region,
            date: None,
            encounter: None,
        })
        .collect();
    let mut answers = vec![];
    for (photo, embedded) in photos.iter().zip(embed::embedded(&bundle, &photos, true)?) {
        answers.push(match embedded {
            Ok(embedded) => {
                // The probability depends on the second whale too, whether or not it is listed.
                let mut candidates = search_encounter(
                    &bundle.catalogue,
                    bundle.local_catalogue(),
                    std::slice::from_ref(&embedded),
                    bundle.decision.whale_score,
                    args.top.max(2),
                )?;
                let probability = bundle.decision.probability(&candidates);
                candidates.truncate(args.top.max(1));
                let (verdict, whale) = match bundle.decision.decide(&candidates) {
                    Decision::Known { whale } => ("known", Some(whale)),
                    Decision::New => ("new", None),
                    Decision::Review => ("review", None),
                };
                Answer {
                    photo: photo.name.clone(),
                    verdict,
                    whale,
                    probability,
                    candidates,
                    error: None,
                }
            }
            Err(error) => Answer {
                photo: photo.name.clone(),
                verdict: "error",
                whale: None,
                probability: None,
                candidates: vec![],
                error: Some(error.to_string()),
            },
        });
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answers)?);
    } else {
        answers.iter().for_each(print);
    }
    match answers.iter().filter(|a| a.error.is_some()).count() {
        0 => Ok(()),
        count => bail!(
            "{count} of {} photos could not be identified",
            answers.len()
        ),
    }
}

fn print(answer: &Answer) {
    println!(
        "{}: {}{}",
        answer.photo,
        answer.verdict,
        answer
            .whale
            .iter()
            .map(|w| format!(" {w}"))
            .collect::<String>()
    );
    if let Some(error) = &answer.error {
        println!("  {error}");
    }
    for (rank, m) in answer.candidates.iter().enumerate() {
        println!(
            "  {}. {:<24} {:>6.3}  {}",
            rank + 1,
            m.whale,
            m.score,
            m.photo
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_four_numbers() {
        assert_eq!(
            parse_box("1, 2,3,4"),
            Ok(PixelBox {
                x0: 1,
                y0: 2,
                x1: 3,
                y1: 4
            })
        );
        for bad in ["1,2,3", "3,2,1,4", "1,2,x,4", "1,2,3,4,x"] {
            assert!(parse_box(bad).is_err(), "{bad}");
        }
    }
}
