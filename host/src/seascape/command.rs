//! The subcommand `flukewatch synth-sea`.

use super::cast::Cast;
use super::film::{Film, Moment, Plan};
use crate::dataset::Dataset;
use crate::synth::command::Between;
use crate::train::progress::bar;
use anyhow::{Context, bail};
use clap::Args;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Draw a film of the open sea with flukes in it, and the truth of every frame.
///
/// Sea states, light, birds, boats, dorsal fins and blows are drawn; so are the flukes, or they are taken from your photos with
/// their boxes. The same seed always gives the same film. To rehearse with, and to judge a detector by.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Beside the film stands its truth, as JSON lines in a file of the same name that ends in .truth.jsonl: a line for each frame,
  {\"frame\": 12, \"time\": 1.2, \"flukes\": [{\"whale\": \"SYN-0004\", \"box\": {\"x0\": 10, \"y0\": 20, \"x1\": 90, \"y1\": 60}, \"share\": 0.9}]}
where share says how much of the fluke is out of the water (none is listed below 0.25).

Examples:
  flukewatch synth-sea --out sea.y4m --encounters 5
  flukewatch synth-sea --out sea.mjpeg --size 1920x1080 --fps 30 --flukes 24..700
  flukewatch synth-sea --out hour.mjpeg --encounters 0 --sea-seconds 3600      an hour of open sea
  flukewatch synth-sea --out real.mjpeg --photos devtest.csv --encounters 20   flukes of photos")]
pub struct SynthSeaArgs {
    /// The film to write: MJPEG where it ends in .mjpeg, uncompressed where it ends in .y4m
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Everything is drawn from this number
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Pixels of a frame
    #[arg(long, default_value = "1280x720", value_name = "WxH", value_parser = crate::synth::command::frame_size)]
    pub size: (u32, u32),
    /// Frames a second
    #[arg(long, default_value_t = 10.0, value_name = "RATE")]
    pub fps: f32,
    /// How often a whale comes
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub encounters: u32,
    /// Drawn whales to choose from
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub whales: u32,
    /// Take the flukes from these photos with boxes, a CSV, instead of drawing them
    #[arg(long, value_name = "CSV|DIR", conflicts_with = "whales")]
    pub photos: Option<PathBuf>,
    /// Pixels from tip to tip: a number, or A..B
    #[arg(long, default_value = "60..400", value_name = "A..B")]
    pub flukes: Between<f32>,
    /// Seconds that a fluke is seen: a number, or A..B
    #[arg(long, default_value = "1..6", value_name = "A..B")]
    pub fluke_seconds: Between<f32>,
    /// Seconds of open sea before, between and after the flukes: a number, or A..B
    #[arg(long, default_value = "5..20", value_name = "A..B")]
    pub sea_seconds: Between<f32>,
    /// The share of encounters with two whales side by side
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub pairs: f32,
    /// The share of encounters after which the same whale comes back
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub returns: f32,
    /// After how many seconds it does: a number, or A..B
    #[arg(long, default_value = "120..480", value_name = "A..B")]
    pub return_after: Between<f32>,
    /// Birds, boats, fins, blows and the like, a minute
    #[arg(long, default_value_t = 6.0, value_name = "N")]
    pub distractors: f32,
    /// Another sea, with another light, after so many seconds
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS")]
    pub sea_changes: f64,
    /// JPEG quality of an MJPEG film, 1 to 100
    #[arg(long, default_value_t = 85, value_name = "Q", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
}

/// A line of the truth.
#[derive(Serialize)]
struct Line<'a> {
    frame: u32,
    time: f64,
    flukes: Vec<Fluke<'a>>,
}

#[derive(Serialize)]
struct Fluke<'a> {
    whale: &'a str,
    #[serde(rename = "box")]
    region: flukewatch_common::pixel_box::PixelBox,
    share: f32,
}

impl SynthSeaArgs {
    /// What the film shall show.
    ///
    /// # Errors
    /// When a number makes no film.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let (width, height) = self.size;
        if !(64..=8192).contains(&width) || !(64..=8192).contains(&height) {
            bail!("a film of {width} x {height} pixels; 64 to 8192 a side can be drawn");
        }
        if !(0.1..=240.0).contains(&self.fps) {
            bail!("{} frames a second; 0.1 to 240 can be drawn", self.fps);
        }
        for (what, value) in [("pairs", self.pairs), ("returns", self.returns)] {
            if !(0.0..=1.0).contains(&value) {
                bail!("--{what} {value}: a share is 0 to 1");
            }
        }
        if !(1.0..=1e6).contains(&self.sea_changes) {
            bail!("--sea-changes {}: 1 to 1000000 seconds", self.sea_changes);
        }
        let spans = [
            &self.flukes,
            &self.fluke_seconds,
            &self.sea_seconds,
            &self.return_after,
        ];
        if spans
            .iter()
            .any(|s| !(*s.0.start() >= 0.0 && s.0.end().is_finite()))
            || self.distractors.is_nan()
        {
            bail!("seconds, pixels and counts are 0 or more");
        }
        Ok(Plan {
            seed: self.seed,
            number: 0,
            size: self.size,
            frames_per_second: self.fps,
            encounters: self.encounters,
            fluke_seconds: self.fluke_seconds.0.clone(),
            fluke_pixels: self.flukes.0.clone(),
            sea_seconds: self.sea_seconds.0.clone(),
            pairs: self.pairs,
            returns: self.returns,
            return_after: self.return_after.0.clone(),
            distractors_a_minute: self.distractors.max(0.0),
            sea_changes: self.sea_changes,
        })
    }
}

/// Draws and writes the film.
///
/// # Errors
/// When a setting makes no sense, a photo cannot be read, or a file cannot be written.
pub fn run(args: &SynthSeaArgs) -> anyhow::Result<()> {
    let plan = args.plan()?;
    let cast = match &args.photos {
        Some(table) => Cast::photos(&Dataset::open(table, None)?.photos),
        None if args.whales == 0 => bail!("--whales 0: there must be one to choose"),
        None => Cast::drawn(args.seed, args.whales),
    };
    let film = Film::draw(&plan, &cast)?;
    let ending = args.out.extension().and_then(|e| e.to_str()).unwrap_or("");
    let failed = |path: &Path| format!("{} cannot be written", path.display());
    let truth_path = args.out.with_extension("truth.jsonl");
    let mut writer: Box<dyn FrameWriter> = match ending {
        "mjpeg" | "mjpg" => Box::new(Mjpeg {
            out: create(&args.out)?,
            quality: args.quality,
        }),
        "y4m" => Box::new(
            Y4m::begin(create(&args.out)?, args.size, args.fps)
                .with_context(|| failed(&args.out))?,
        ),
        _ => bail!(
            "{}: name a film that ends in .mjpeg or .y4m",
            args.out.display()
        ),
    };
    let mut truth = create(&truth_path)?;
    let bar = bar(u64::from(film.len()), "drawing");
    let mut flukes = 0;
    for Moment {
        number,
        time,
        picture,
        seen,
    } in film.frames()
    {
        writer.frame(&picture).with_context(|| failed(&args.out))?;
        flukes += usize::from(!seen.is_empty());
        let line = Line {
            frame: number,
            time,
            flukes: seen
                .iter()
                .map(|s| Fluke {
                    whale: &s.whale,
                    region: s.region,
                    share: (s.share * 100.0).round() / 100.0,
                })
                .collect(),
        };
        serde_json::to_writer(&mut truth, &line)?;
        truth
            .write_all(b"\n")
            .with_context(|| failed(&truth_path))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    writer.end().with_context(|| failed(&args.out))?;
    truth.flush().with_context(|| failed(&truth_path))?;
    println!(
        "{} frames, {:.0} s; {} times a fluke, in {flukes} frames; {} and {}",
        film.len(),
        film.seconds(),
        film.surfacings().count(),
        args.out.display(),
        truth_path.display()
    );
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file =
        File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Takes the frames of a film.
trait FrameWriter {
    fn frame(&mut self, picture: &RgbImage) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
}

struct Mjpeg {
    out: BufWriter<File>,
    quality: u8,
}

impl FrameWriter for Mjpeg {
    fn frame(&mut self, picture: &RgbImage) -> io::Result<()> {
        JpegEncoder::new_with_quality(&mut self.out, self.quality)
            .encode_image(picture)
            .map_err(io::Error::other)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// YUV4MPEG2, 4:2:0, limited range.
struct Y4m {
    out: BufWriter<File>,
    planes: Vec<u8>,
}

impl Y4m {
    fn begin(mut out: BufWriter<File>, (width, height): (u32, u32), fps: f32) -> io::Result<Self> {
        let rate = (fps * 1000.0).round() as u32;
        writeln!(
            out,
            "YUV4MPEG2 W{width} H{height} F{rate}:1000 Ip A1:1 C420jpeg"
        )?;
        Ok(Self {
            out,
            planes: vec![],
        })
    }
}

impl FrameWriter for Y4m {
    fn frame(&mut self, picture: &RgbImage) -> io::Result<()> {
        let (width, height) = picture.dimensions();
        let yuv = |rgb: [f32; 3]| {
            let [r, g, b] = rgb;
            [
                16.0 + 0.2568 * r + 0.5041 * g + 0.0979 * b,
                128.0 - 0.1482 * r - 0.2910 * g + 0.4392 * b,
                128.0 + 0.4392 * r - 0.3678 * g - 0.0714 * b,
            ]
        };
        self.planes.clear();
        for pixel in picture.pixels() {
            self.planes
                .push((yuv(pixel.0.map(f32::from))[0] + 0.5) as u8);
        }
        for channel in [1, 2] {
            for y in (0..height).step_by(2) {
                for x in (0..width).step_by(2) {
                    let mut sum = [0f32; 3];
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        let pixel =
                            picture.get_pixel((x + dx).min(width - 1), (y + dy).min(height - 1));
                        sum = std::array::from_fn(|c| sum[c] + f32::from(pixel.0[c]) / 4.0);
                    }
                    self.planes.push((yuv(sum)[channel] + 0.5) as u8);
                }
            }
        }
        self.out.write_all(b"FRAME\n")?;
        self.out.write_all(&self.planes)
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

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
    fn a_film_and_its_truth_are_written_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.y4m", "b.y4m", "c.mjpeg"] {
            write(
                folder.path(),
                name,
                &["--whales", "2", "--flukes", "40..60"],
            )
            .unwrap();
        }
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("a.y4m"), read("b.y4m"));
        assert_eq!(read("a.truth.jsonl"), read("c.truth.jsonl"));
        let lines = String::from_utf8(read("a.truth.jsonl")).unwrap();
        let frames = lines.lines().count();
        let head = read("a.y4m").iter().position(|b| *b == b'\n').unwrap() + 1;
        assert_eq!(read("a.y4m").len() - head, frames * (6 + 160 * 90 * 3 / 2));
        assert!(lines.contains("SYN-000") && read("c.mjpeg").starts_with(b"\xff\xd8"));
    }

    #[test]
    fn what_makes_no_film_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for (name, more, said) in [
            ("a.avi", &[][..], ".mjpeg or .y4m"),
            ("a.y4m", &["--size", "8x8"], "64 to 8192"),
            ("a.y4m", &["--fps", "0"], "frames a second"),
            ("a.y4m", &["--pairs", "2"], "0 to 1"),
            ("a.y4m", &["--whales", "0"], "one to choose"),
            ("a.y4m", &["--sea-changes", "0"], "1 to 1000000"),
        ] {
            let error = write(folder.path(), name, more).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
