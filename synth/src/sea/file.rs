//! Video files with their truth.

use super::video::{Frame, Video};
use crate::SynthError;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A line of the truth file.
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
    visible: f32,
}

/// The written files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The truth file, next to the video: one line per frame.
    pub truth: PathBuf,
    /// Number of frames with a fluke.
    pub frames_with_flukes: u32,
}

/// Writes `video` to `path`, as MJPEG of `quality` (1..=100) or uncompressed YUV4MPEG2, depending
/// on the extension, and its truth next to it. Calls `progress` after each frame.
///
/// # Errors
/// If the extension is unknown (checked before anything is written), or a file cannot be written.
pub fn write(
    video: &Video,
    path: &Path,
    quality: u8,
    mut progress: impl FnMut(),
) -> Result<Written, SynthError> {
    let mut writer: Box<dyn FrameWriter> = match extension(path) {
        Some("mjpeg" | "mjpg") => Box::new(Mjpeg {
            out: create(path)?,
            quality,
        }),
        Some("y4m") => Box::new(
            Y4m::new(create(path)?, video.size(), video.frames_per_second())
                .map_err(SynthError::file(path))?,
        ),
        _ => return Err(SynthError::UnknownFormat(path.to_owned())),
    };
    let truth_path = path.with_extension("truth.jsonl");
    let mut truth = create(&truth_path)?;
    let mut frames_with_flukes = 0;
    for Frame {
        number,
        time,
        picture,
        seen,
    } in video.frames()
    {
        writer.frame(&picture).map_err(SynthError::file(path))?;
        frames_with_flukes += u32::from(!seen.is_empty());
        let line = Line {
            frame: number,
            time,
            flukes: seen
                .iter()
                .map(|s| Fluke {
                    whale: &s.whale,
                    region: s.region,
                    visible: (s.visible * 100.0).round() / 100.0,
                })
                .collect(),
        };
        serde_json::to_writer(&mut truth, &line)
            .map_err(io::Error::other)
            .and_then(|()| truth.write_all(b"\n"))
            .map_err(SynthError::file(&truth_path))?;
        progress();
    }
    writer.finish().map_err(SynthError::file(path))?;
    truth.flush().map_err(SynthError::file(&truth_path))?;
    Ok(Written {
        truth: truth_path,
        frames_with_flukes,
    })
}

/// Checks that [`write`] knows the format of `path`.
///
/// # Errors
/// If the extension is unknown.
pub fn check_format(path: &Path) -> Result<(), SynthError> {
    match extension(path) {
        Some("mjpeg" | "mjpg" | "y4m") => Ok(()),
        _ => Err(SynthError::UnknownFormat(path.to_owned())),
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn create(path: &Path) -> Result<BufWriter<File>, SynthError> {
    let file = File::create(path).map_err(SynthError::file(path))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// A video file that is written frame by frame.
trait FrameWriter {
    fn frame(&mut self, picture: &RgbImage) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
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

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// YUV4MPEG2, 4:2:0, limited range.
struct Y4m {
    out: BufWriter<File>,
    planes: Vec<u8>,
}

impl Y4m {
    fn new(mut out: BufWriter<File>, (width, height): (u32, u32), fps: f32) -> io::Result<Self> {
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

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sea::cast::Cast;
    use crate::sea::video::VideoSettings;

    #[test]
    fn a_video_and_its_truth_are_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let settings = VideoSettings {
            size: (160, 90),
            encounters: 1,
            sea_seconds: 1.0..=1.0,
            fluke_pixels: 40.0..=60.0,
            ..VideoSettings::default()
        };
        let video = Video::draw(&settings, &Cast::drawn(1, 2)).unwrap();
        for name in ["a.y4m", "b.y4m", "c.mjpeg"] {
            let mut frames = 0;
            let written = write(&video, &folder.path().join(name), 85, || frames += 1).unwrap();
            assert_eq!(frames, video.len());
            assert!(written.frames_with_flukes > 0 && written.truth.is_file());
        }
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("a.y4m"), read("b.y4m"));
        assert_eq!(read("a.truth.jsonl"), read("c.truth.jsonl"));
        let lines = String::from_utf8(read("a.truth.jsonl")).unwrap();
        let head = read("a.y4m").iter().position(|b| *b == b'\n').unwrap() + 1;
        let frames = lines.lines().count();
        assert_eq!(read("a.y4m").len() - head, frames * (6 + 160 * 90 * 3 / 2));
        assert!(lines.contains("SYN-000") && read("c.mjpeg").starts_with(b"\xff\xd8"));
        let error = write(&video, &folder.path().join("a.avi"), 85, || {}).unwrap_err();
        assert!(matches!(error, SynthError::UnknownFormat(_)));
        assert!(!folder.path().join("a.avi").exists());
    }
}
