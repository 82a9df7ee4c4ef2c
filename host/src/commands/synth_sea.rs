//! `flukewatch synth-sea`: draw a video of the sea.

use super::data::TableArgs;
use super::labelled_data::LabelledData;
use anyhow::bail;
use clap::Args;
use flukewatch_progress::bar;
use flukewatch_synth::arguments::{Between, frame_size};
use flukewatch_synth::sea::cast::Cast;
use flukewatch_synth::sea::file;
use flukewatch_synth::sea::video::{Video, VideoSettings};
use std::path::PathBuf;

/// Draw a video of the open sea with flukes, and the truth of every frame.
///
/// Sea states, light, birds, boats, dorsal fins and blows are drawn. The flukes are drawn too, or cut
/// out of your photos with boxes. The same seed always gives the same video. For rehearsals, and to
/// evaluate a detector.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The truth is written next to the video, to a file of the same name that ends in .truth.jsonl. It has one line for each frame:
  {\"frame\": 12, \"time\": 1.2, \"flukes\": [{\"whale\": \"SYN-0004\", \"box\": {\"x0\": 10, \"y0\": 20, \"x1\": 90, \"y1\": 60}, \"visible\": 0.9}]}
`visible` is the fraction of the fluke above the water; flukes below 0.25 are not listed.

Examples:
  flukewatch synth-sea --out sea.y4m --encounters 5
  flukewatch synth-sea --out sea.mjpeg --size 1920x1080 --fps 30 --fluke-pixels 24..700
  flukewatch synth-sea --out hour.mjpeg --encounters 0 --sea-seconds 3600      an hour of open sea
  flukewatch synth-sea --out real.mjpeg --photos devtest.csv --encounters 20   flukes of photos")]
pub(crate) struct SynthSeaArgs {
    /// Video to write: MJPEG if the name ends in .mjpeg, uncompressed if it ends in .y4m
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Frame size in pixels
    #[arg(long, default_value = "1280x720", value_name = "WxH", value_parser = frame_size)]
    size: (u32, u32),
    /// Frame rate
    #[arg(long, default_value_t = 10.0, value_name = "FPS")]
    fps: f32,
    /// Encounters with a whale
    #[arg(long, default_value_t = 4, value_name = "N")]
    encounters: u32,
    /// Drawn whales to choose from
    #[arg(long, default_value_t = 20, value_name = "N")]
    whales: u32,
    /// Take the flukes from these photos with boxes instead of drawing them
    #[arg(long, value_name = "CSV|DIR", conflicts_with = "whales")]
    photos: Option<PathBuf>,
    /// Width of a fluke in pixels, from tip to tip: a number or a range
    #[arg(long, default_value = "60..400", value_name = "A..B")]
    fluke_pixels: Between<f32>,
    /// Seconds for which a fluke is visible: a number or a range
    #[arg(long, default_value = "1..6", value_name = "A..B")]
    fluke_seconds: Between<f32>,
    /// Seconds of open sea before, between and after the flukes: a number or a range
    #[arg(long, default_value = "5..20", value_name = "A..B")]
    sea_seconds: Between<f32>,
    /// Fraction of encounters with two whales side by side
    #[arg(long, default_value_t = 0.15, value_name = "FRACTION")]
    pair_fraction: f32,
    /// Fraction of encounters after which the same whale returns
    #[arg(long, default_value_t = 0.15, value_name = "FRACTION")]
    return_fraction: f32,
    /// Seconds after which it returns: a number or a range
    #[arg(long, default_value = "120..480", value_name = "A..B")]
    return_after_seconds: Between<f32>,
    /// Birds, boats, fins, blows and the like per minute
    #[arg(long, default_value_t = 6.0, value_name = "N")]
    distractors_per_minute: f32,
    /// Change the sea and its light after this many seconds
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    sea_change_seconds: f64,
    /// JPEG quality of an MJPEG video, 1 to 100
    #[arg(long, default_value_t = 85, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
}

impl SynthSeaArgs {
    fn settings(&self) -> VideoSettings {
        VideoSettings {
            seed: self.seed,
            number: 0,
            size: self.size,
            frames_per_second: self.fps,
            encounters: self.encounters,
            fluke_seconds: self.fluke_seconds.0.clone(),
            fluke_pixels: self.fluke_pixels.0.clone(),
            sea_seconds: self.sea_seconds.0.clone(),
            pair_fraction: self.pair_fraction,
            return_fraction: self.return_fraction,
            return_after_seconds: self.return_after_seconds.0.clone(),
            distractors_per_minute: self.distractors_per_minute,
            sea_change_seconds: self.sea_change_seconds,
        }
    }
}

pub(crate) fn run(args: &SynthSeaArgs) -> anyhow::Result<()> {
    let settings = args.settings();
    settings.check()?;
    file::check_format(&args.out)?;
    let cast = match &args.photos {
        Some(table) => {
            let data = LabelledData::open(&TableArgs::default(), table, None)?;
            Cast::photos(&data.dataset.photos)
        }
        None if args.whales == 0 => bail!("--whales 0: expected 1 or more"),
        None => Cast::drawn(args.seed, args.whales),
    };
    let video = Video::draw(&settings, &cast)?;
    let bar = bar(u64::from(video.len()), "drawing");
    let written = file::write(&video, &args.out, args.quality, || bar.inc(1))?;
    bar.finish_and_clear();
    println!(
        "{} frames, {:.0} s; {} flukes, in {} frames; {} and {}",
        video.len(),
        video.seconds(),
        video.surfacings().count(),
        written.frames_with_flukes,
        args.out.display(),
        written.truth.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SynthSeaArgs,
    }

    fn write(folder: &Path, name: &str, more: &[&str]) -> anyhow::Result<()> {
        let out = folder.join(name);
        let mut words = vec!["synth-sea", "--out", out.to_str().unwrap_or_default()];
        if !more.contains(&"--size") {
            words.extend(["--size", "160x90"]);
        }
        words.extend(["--encounters", "1", "--sea-seconds", "1"]);
        words.extend(more);
        run(&Cli::try_parse_from(words)?.args)
    }

    #[test]
    fn a_video_is_written_with_its_truth() {
        let folder = tempfile::tempdir().unwrap();
        let few = ["--whales", "2", "--fluke-pixels", "40..60"];
        write(folder.path(), "a.y4m", &few).unwrap();
        assert!(folder.path().join("a.y4m").is_file());
        assert!(folder.path().join("a.truth.jsonl").is_file());
    }

    #[test]
    fn invalid_settings_are_rejected_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for (name, more, expected) in [
            ("a.avi", &[][..], ".mjpeg or .y4m"),
            ("a.y4m", &["--size", "8x8"], "64 to 8192 on each side"),
            ("a.y4m", &["--fps", "0"], "frames per second: 0"),
            ("a.y4m", &["--pair-fraction", "2"], "in [0, 1]"),
            ("a.y4m", &["--whales", "0"], "--whales 0"),
            ("a.y4m", &["--sea-change-seconds", "0"], "1 to 1000000"),
        ] {
            let error = write(folder.path(), name, more).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
