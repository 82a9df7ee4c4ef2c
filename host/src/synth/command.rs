//! The subcommand `flukewatch synth`.

use super::characters::Characters;
use super::population::{Cameras, Population};
use clap::Args;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// Draw synthetic humpback flukes: catalogue photos, queries and camera sequences, with the truth.
///
/// Whales are drawn from the seed and their number, so that the same seed always gives the same files, and SYN-0004 is the
/// same whale in a population of 10 or of 1,000. Photos differ in pose, light, sea, spray, blur and format, so that
/// identifying them can fail. Nothing is copied from photographs of real whales.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Written to the folder:
  catalogue.csv, catalogue/   photos of the enrolled whales, with boxes, to enrol or to evaluate
  queries.csv, queries/       other photos, of the enrolled whales and of the new ones
  sequences/seq-001/          frames 000000.jpg, ... each with the boxes of flukes in 000000.json
  sequences/seq-001.truth.json  which whale is seen from which frame to which
  truth.json                  the whales and whether they are enrolled; written last

Examples:
  flukewatch synth --out flukes --whales 40 --photos-per-whale 4
      a catalogue of 40 whales with 4 photos each
  flukewatch synth --out rehearsal --whales 20 --new-whales 10 --sequences 5
      a rehearsal: 20 whales to enrol, and 5 sequences in which every other whale is new
  flukewatch synth --out ground --characters 200 --photos-per-whale 12
      no whales, but made-up characters to try the trainer on: a folder for each, with 12 drawings
      (host/recipes/known-ground.toml says how)")]
pub struct SynthArgs {
    /// The folder to write; it must be empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Everything is drawn from this number
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Whales in the catalogue
    #[arg(long, default_value_t = 20, value_name = "W")]
    pub whales: u32,
    /// Catalogue photos of each whale: a number, or A..B for A to B of them
    #[arg(long, default_value = "3..5", value_name = "A..B")]
    pub photos_per_whale: Between<u32>,
    /// Query photos of each whale, new ones included; 0 writes no queries
    #[arg(long, default_value_t = 1, value_name = "Q")]
    pub queries_per_whale: u32,
    /// Whales that the catalogue does not hold, for queries and sequences
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub new_whales: u32,
    /// Camera sequences
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub sequences: u32,
    /// Encounters in each sequence: a number, or A..B for A to B of them
    #[arg(long, default_value = "1..3", value_name = "A..B")]
    pub encounters_per_sequence: Between<u32>,
    /// The share of encounters with enrolled whales, 0 to 1 [default: 0.5, or 1 without new whales]
    #[arg(long, value_name = "SHARE")]
    pub enrolled_share: Option<f32>,
    /// Seconds of open sea before, between and after the flukes: a number, or A..B
    #[arg(long, default_value = "3..5", value_name = "A..B")]
    pub sea_seconds: Between<f32>,
    /// Frames a second
    #[arg(long, default_value_t = 10.0, value_name = "RATE")]
    pub fps: f32,
    /// Pixels of a frame
    #[arg(long, default_value = "640x360", value_name = "WxH", value_parser = frame_size)]
    pub frame_size: (u32, u32),
    /// Draw this many made-up characters instead of whales, --photos-per-whale drawings of each
    #[arg(long, value_name = "N", conflicts_with_all = [
        "whales", "queries_per_whale", "new_whales", "sequences", "encounters_per_sequence", "enrolled_share", "sea_seconds",
        "fps", "frame_size",
    ])]
    pub characters: Option<u32>,
}

/// `A..B`, both ends included, or a single value.
#[derive(Clone, Debug, PartialEq)]
pub struct Between<T>(pub RangeInclusive<T>);

impl<T: FromStr + Clone + PartialOrd + Display> FromStr for Between<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim()
                .parse::<T>()
                .map_err(|_| format!("'{part}' is no number; write a number, or A..B as in 3..5"))
        };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (number(from)?, number(to.strip_prefix('=').unwrap_or(to))?),
            None => (number(text)?, number(text)?),
        };
        if from <= to {
            Ok(Self(from..=to))
        } else {
            Err(format!(
                "{from}..{to} runs backwards; write the smaller number first"
            ))
        }
    }
}

/// `WxH`.
///
/// # Errors
/// For what is no size.
pub fn frame_size(text: &str) -> Result<(u32, u32), String> {
    let size = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    size.ok_or_else(|| "write width x height in pixels, as in 640x360".to_owned())
}

/// Draws the population, or the characters, and says what was written.
///
/// # Errors
/// When a setting makes no sense, the folder holds something already, or a file cannot be written.
pub fn run(args: &SynthArgs) -> anyhow::Result<()> {
    if let Some(count) = args.characters {
        let characters = Characters {
            seed: args.seed,
            count,
            drawings: args.photos_per_whale.0.clone(),
        };
        let drawings = characters.write(&args.out)?;
        println!(
            "{drawings} drawings of {count} characters; in {}",
            args.out.display()
        );
        return Ok(());
    }
    let population = Population {
        seed: args.seed,
        whales: args.whales,
        photos: args.photos_per_whale.0.clone(),
        new_whales: args.new_whales,
        queries: args.queries_per_whale,
        cameras: Cameras {
            sequences: args.sequences,
            encounters: args.encounters_per_sequence.0.clone(),
            enrolled_share: args.enrolled_share,
            sea_seconds: args.sea_seconds.0.clone(),
            frames_per_second: args.fps,
            size: args.frame_size,
        },
    };
    let truth = population.write(&args.out)?;
    let sum =
        |count: fn(&super::truth::WhaleTruth) -> u32| truth.whales.iter().map(count).sum::<u32>();
    println!(
        "{} whales enrolled with {} photos, {} new; {} queries; {} encounters in {} sequences; in {}",
        args.whales,
        sum(|w| w.catalogue_photos),
        args.new_whales,
        sum(|w| w.query_photos),
        sum(|w| w.encounters),
        truth.sequences.len(),
        args.out.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SynthArgs,
    }

    #[test]
    fn a_span_is_a_number_or_two() {
        assert_eq!("3..5".parse(), Ok(Between(3..=5)));
        assert_eq!("4".parse(), Ok(Between(4..=4)));
        let backwards = "5..3".parse::<Between<u32>>().unwrap_err();
        assert_eq!(
            backwards,
            "5..3 runs backwards; write the smaller number first"
        );
        for bad in ["", "..", "a..b", "3..", "-1..2"] {
            assert!(bad.parse::<Between<u32>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_are_read() {
        let cli = Cli::try_parse_from(["synth", "--out", "x", "--frame-size", "320x180"]).unwrap();
        assert_eq!(cli.args.frame_size, (320, 180));
        assert!(Cli::try_parse_from(["synth", "--out", "x", "--frame-size", "big"]).is_err());
        assert!(Cli::try_parse_from(["synth"]).is_err());
        let both = ["synth", "--out", "x", "--characters", "9", "--whales", "3"];
        assert!(Cli::try_parse_from(both).is_err());
    }

    #[test]
    fn a_population_without_whales_is_refused_and_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("none");
        let cli = Cli::try_parse_from(["synth", "--out", out.to_str().unwrap(), "--whales", "0"])
            .unwrap();
        let error = run(&cli.args).unwrap_err();
        assert_eq!(
            error.to_string(),
            "whales: 0 is out of range; it must be 1 to 50000"
        );
        assert!(!out.exists());
    }
}
