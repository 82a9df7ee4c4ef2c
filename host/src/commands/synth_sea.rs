//! `flukewatch synth-sea`: draw a video of the sea.

use super::data::TableArgs;
use super::labelled_data::LabelledData;
use anyhow::bail;
use clap::Args;
use flukewatch_progress::bar;
use flukewatch_synth::arguments::{Between, frame_size};
use flukewatch_synth::sea::cast::{Cast, Masks};
use flukewatch_synth::sea::file;
use flukewatch_synth::sea::still::RealSeas;
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
  flukewatch synth-sea --out photos.mjpeg --photos devtest.csv --encounters 20   flukes of photos
  flukewatch synth-sea --out real.mjpeg --photos devtest.csv --masks masks/ --seas stills/    on photos of seas")]
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
    /// Cut the flukes out of their photos by masks: files of the photos' names that end in .png, white where the
    /// fluke is. Photos without one are left out
    #[arg(long, value_name = "DIR", requires = "photos")]
    masks: Option<PathBuf>,
    /// Photos of real seas without flukes, moved, rippled, lit and blurred, instead of drawn seas
    #[arg(long, value_name = "DIR")]
    seas: Option<PathBuf>,
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
            let mut data = LabelledData::open(&TableArgs::default(), table, None)?;
            let masks = args.masks.as_deref().map(Masks::new);
            if let (Some(masks), Some(folder)) = (&masks, &args.masks) {
                data.retain(|photo| masks.file(photo).is_some());
                if data.dataset.photos.is_empty() {
                    bail!(
                        "{}: no mask of a photo of {}; expected files such as PHOTO.png",
                        folder.display(),
                        table.display()
                    );
                }
            }
            Cast::photos(&data.dataset.photos).with_masks(masks)
        }
        None if args.whales == 0 => bail!("--whales 0: expected 1 or more"),
        None => Cast::drawn(args.seed, args.whales),
    };
    let seas = args.seas.as_deref().map(RealSeas::open).transpose()?;
    let video = Video::on(&settings, &cast, seas.as_ref())?;
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
    fn real_flukes_are_composed_on_real_seas() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["photos", "masks", "seas"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let photo = image::RgbImage::from_fn(120, 60, |x, y| {
            let within = (20..95).contains(&x) && (20..45).contains(&y);
            image::Rgb(if within {
                [250, 20, 20]
            } else {
                [90, 100, 110]
            })
        });
        let mask = image::GrayImage::from_fn(120, 60, |x, y| {
            let within = (20..100).contains(&x) && (20..45).contains(&y);
            image::Luma([if within { 255 } else { 0 }])
        });
        photo.save(path("photos/a.png")).unwrap();
        image::imageops::rotate180(&photo)
            .save(path("photos/b.png"))
            .unwrap();
        mask.save(path("masks/a.png")).unwrap();
        image::RgbImage::from_pixel(320, 180, image::Rgb([20, 150, 40]))
            .save(path("seas/sea.png"))
            .unwrap();
        let table = "image,identity,x0,y0,x1,y1\na.png,A,20,20,100,45\nb.png,B,20,20,100,45\n";
        std::fs::write(path("photos.csv"), table).unwrap();
        let text = |name: &str| path(name).to_str().unwrap_or_default().to_owned();
        let (photos, masks, seas) = (text("photos.csv"), text("masks"), text("seas"));
        let composed = |masks: &str| {
            let more = ["--photos", &photos, "--masks", masks, "--seas", &seas];
            let more = [
                &more[..],
                &["--distractors-per-minute", "0", "--fluke-seconds", "2"],
            ];
            write(folder.path(), "a.y4m", &more.concat())
        };
        composed(&masks).unwrap();
        let truth = std::fs::read_to_string(path("a.truth.jsonl")).unwrap();
        assert!(
            truth.contains("\"A\"") && !truth.contains("\"B\""),
            "{truth}"
        );
        let error = composed(&text("seas")).unwrap_err().to_string();
        assert!(error.contains("no mask of a photo"), "{error}");
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
