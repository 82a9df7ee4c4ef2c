//! A recorded video in place of a camera.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use super::pacer::Pacer;
use crate::buffers::BufferPool;
use crate::cancellation::CancellationToken;
use crate::capture::gstreamer::{GstVideoError, VIDEO_PACKAGES, VideoOptions, open_video};
use crate::frame::{Frame, FrameImage, FrameName, RawImage};
use crate::time::{MonotonicTimestamp, Timing};
use crate::video::{self, DemuxError, Demuxer, ForeignFormat, Sample};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Valid frame rates of a video; any other is ignored.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// The error of a file that is not a video.
pub(super) const UNKNOWN_FORMAT: &str = "unknown format; expected MJPEG, Y4M, AVI, MP4, MOV, MKV, WebM, MPEG-TS, H.264 or H.265, \
     or a text file with the path of an image per line";

/// A video, at its frame rate or faster.
pub struct VideoFile {
    path: PathBuf,
    demuxer: Box<dyn Demuxer>,
    rate: f64,
    start: MonotonicTimestamp,
    pacer: Box<dyn Pacer>,
    stop: CancellationToken,
    buffers: BufferPool,
    /// Samples read so far.
    number: u64,
    ended: bool,
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    let path = path.to_owned();
    SourceError::Unreadable { path, source }
}

fn unsupported(path: &Path, reason: String) -> SourceError {
    let path = path.to_owned();
    SourceError::Video { path, reason }
}

/// Why a video of `format` is not decoded, and what to do.
fn undecodable(path: &Path, format: &ForeignFormat, error: GstVideoError) -> SourceError {
    if let GstVideoError::File(source) = error {
        return unreadable(path, source);
    }
    let quoted = |path: &Path| {
        let path = path.to_string_lossy().into_owned();
        shlex::try_quote(&path).map_or_else(|_| path.clone(), |quoted| quoted.into_owned())
    };
    let (from, to) = (quoted(path), quoted(&path.with_extension("mjpeg.avi")));
    let missing = match error {
        GstVideoError::NotInstalled(_) => "",
        _ => "if a plug-in is missing, ",
    };
    unsupported(
        path,
        format!(
            "{format}: {error}; {missing}run: sudo apt install {VIDEO_PACKAGES}; or convert it: \
             ffmpeg -i {from} -an -c:v mjpeg -q:v 2 {to}"
        ),
    )
}

impl VideoFile {
    /// Opens the video at `path`. Frame `i`, counted from 0, was taken at `start` plus `i` frame
    /// intervals; `rate` is used where the video does not state its own. Formats that are not read here are
    /// decoded by GStreamer, whose waits `stop` cancels.
    ///
    /// # Errors
    /// When it cannot be read, or is not a video of a supported format.
    pub fn open(
        path: &Path,
        start: MonotonicTimestamp,
        rate: f64,
        pacer: Box<dyn Pacer>,
        stop: &CancellationToken,
    ) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let demuxer = match video::open(BufReader::new(file)) {
            Ok(Some(demuxer)) => demuxer,
            Ok(None) => return Err(unsupported(path, UNKNOWN_FORMAT.into())),
            Err(DemuxError::Io(source)) => return Err(unreadable(path, source)),
            Err(DemuxError::Foreign(format)) => {
                let options = VideoOptions::new(format.timed, stop.clone());
                open_video(path, options).map_err(|e| undecodable(path, &format, e))?
            }
            Err(other) => return Err(unsupported(path, other.to_string())),
        };
        Ok(Self {
            rate: demuxer.rate().filter(|r| RATES.contains(r)).unwrap_or(rate),
            path: path.to_owned(),
            demuxer,
            start,
            pacer,
            stop: stop.clone(),
            buffers: BufferPool::default(),
            number: 0,
            ended: false,
        })
    }

    /// The frame rate in frames per second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    fn frame_name(&self) -> String {
        format!("{}, number {}", self.path.display(), self.number)
    }
}

impl FrameSource for VideoFile {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        if self.ended {
            return Ok(SourceEvent::Ended);
        }
        let mut bytes = self.buffers.take();
        let sample = self.demuxer.next(&mut bytes);
        let offset = Duration::from_secs_f64(self.number as f64 / self.rate);
        if matches!(sample, Ok(Sample::End)) && self.number == 0 && !self.stop.is_cancelled() {
            self.ended = true;
            return Err(unsupported(&self.path, "it has no frames".into()));
        }
        if matches!(sample, Ok(Sample::End)) || !self.pacer.wait_until(offset) {
            self.ended = true;
            return Ok(SourceEvent::Ended);
        }
        self.number += 1;
        match sample {
            Ok(Sample::Image(format)) => Ok(SourceEvent::Frame(Frame {
                camera: 0,
                name: FrameName::Number(self.number),
                taken: self.start.plus(offset),
                timing: Timing::Replay,
                image: FrameImage::Raw(RawImage { bytes, format }),
                boxes: None,
                encoded: vec![],
            })),
            Ok(Sample::Empty | Sample::End) => Ok(SourceEvent::Idle),
            Err(DemuxError::InvalidFrame(reason)) => Err(SourceError::InvalidFrame {
                camera: 0,
                frame: self.frame_name(),
                reason,
            }),
            Err(e @ (DemuxError::Unsupported(_) | DemuxError::Foreign(_))) => {
                self.ended = true;
                Err(unsupported(&self.path, e.to_string()))
            }
            Err(DemuxError::Io(source)) => {
                self.ended = true;
                Err(unreadable(&self.path, source))
            }
        }
    }
}

#[cfg(test)]
mod tests;
