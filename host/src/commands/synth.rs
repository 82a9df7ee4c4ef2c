//! `flukewatch synth`: draw synthetic flukes.

use clap::Args;
use flukewatch_synth::arguments::{Between, frame_size};
use flukewatch_synth::characters::Characters;
use flukewatch_synth::fluke::population::{Cameras, Population};
use flukewatch_synth::fluke::truth::WhaleTruth;
use std::path::PathBuf;

/// Draw synthetic humpback flukes: catalogue photos, queries and camera sequences, with the truth.
///
/// Whales are drawn from the seed and their number: the same seed always gives the same files, and
/// SYN-0004 is the same whale in a population of 10 or of 1,000. Photos differ in pose, light, sea,
/// spray, blur and format. Nothing is copied from photographs of real whales.
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
      hand-drawn characters instead of whales, an easy data set to try the trainer on: a folder for
      each, with 12 drawings (see host/recipes/known-ground.toml)")]
pub(crate) struct SynthArgs {
    /// Folder to write; must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Whales in the catalogue
    #[arg(long, default_value_t = 20, value_name = "N")]
    whales: u32,
    /// Catalogue photos of each whale: a number or a range
    #[arg(long, default_value = "3..5", value_name = "A..B")]
    photos_per_whale: Between<u32>,
    /// Query photos of each whale, including new whales; 0 writes no queries
    #[arg(long, default_value_t = 1, value_name = "N")]
    queries_per_whale: u32,
    /// Whales missing from the catalogue, for queries and sequences
    #[arg(long, default_value_t = 0, value_name = "N")]
    new_whales: u32,
    /// Camera sequences
    #[arg(long, default_value_t = 0, value_name = "N")]
    sequences: u32,
    /// Encounters in each sequence: a number or a range
    #[arg(long, default_value = "1..3", value_name = "A..B")]
    encounters_per_sequence: Between<u32>,
    /// Fraction of encounters with enrolled whales, in [0, 1] [default: 0.5, or 1 without new whales]
    #[arg(long, value_name = "FRACTION")]
    enrolled_fraction: Option<f32>,
    /// Seconds of open sea before, between and after the flukes: a number or a range
    #[arg(long, default_value = "3..5", value_name = "A..B")]
    sea_seconds: Between<f32>,
    /// Frame rate
    #[arg(long, default_value_t = 10.0, value_name = "FPS")]
    fps: f32,
    /// Frame size in pixels
    #[arg(long, default_value = "640x360", value_name = "WxH", value_parser = frame_size)]
    frame_size: (u32, u32),
    /// Draw this many characters instead of whales, with --photos-per-whale drawings of each
    #[arg(long, value_name = "N", conflicts_with_all = [
        "whales", "queries_per_whale", "new_whales", "sequences", "encounters_per_sequence", "enrolled_fraction", "sea_seconds",
        "fps", "frame_size",
    ])]
    characters: Option<u32>,
}

pub(crate) fn run(args: &SynthArgs) -> anyhow::Result<()> {
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
            enrolled_fraction: args.enrolled_fraction,
            sea_seconds: args.sea_seconds.0.clone(),
            frames_per_second: args.fps,
            size: args.frame_size,
        },
    };
    let truth = population.write(&args.out)?;
    let sum = |count: fn(&WhaleTruth) -> u32| truth.whales.iter().map(count).sum::<u32>();
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
    fn arguments_are_parsed() {
        let cli = Cli::try_parse_from(["synth", "--out", "x", "--frame-size", "320x180"]).unwrap();
        assert_eq!(cli.args.frame_size, (320, 180));
        assert!(Cli::try_parse_from(["synth", "--out", "x", "--frame-size", "big"]).is_err());
        assert!(Cli::try_parse_from(["synth"]).is_err());
        let both = ["synth", "--out", "x", "--characters", "9", "--whales", "3"];
        assert!(Cli::try_parse_from(both).is_err());
    }

    #[test]
    fn a_population_without_whales_is_rejected_and_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("none");
        let cli = Cli::try_parse_from(["synth", "--out", out.to_str().unwrap(), "--whales", "0"])
            .unwrap();
        let error = run(&cli.args).unwrap_err();
        assert!(
            error.to_string().starts_with("whales: 0 is out of range"),
            "{error}"
        );
        assert!(!out.exists());
    }
}
