//! A recorded video in place of a camera.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use super::pacer::Pacer;
use crate::buffers::BufferPool;
use crate::frame::{Frame, FrameImage, FrameName, RawImage};
use crate::time::{MonotonicTimestamp, Timing};
use crate::video::{self, DemuxError, Demuxer, Sample};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Valid frame rates of a video; any other is ignored.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// A video, at its frame rate or faster.
pub struct VideoFile {
    path: PathBuf,
    demuxer: Box<dyn Demuxer>,
    rate: f64,
    start: MonotonicTimestamp,
    pacer: Box<dyn Pacer>,
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

impl VideoFile {
    /// Opens the video at `path`. Frame `i`, counted from 0, was taken at `start` plus `i` frame
    /// intervals; `rate` is used where the video does not state its own.
    ///
    /// # Errors
    /// When it cannot be read, or is not a video of a supported format.
    pub fn open(
        path: &Path,
        start: MonotonicTimestamp,
        rate: f64,
        pacer: Box<dyn Pacer>,
    ) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let demuxer = video::open(BufReader::new(file)).map_err(|e| match e {
            DemuxError::Io(source) => unreadable(path, source),
            other => unsupported(path, other.to_string()),
        })?;
        let demuxer = demuxer.ok_or_else(|| {
            unsupported(path, "unknown format; expected MJPEG, Y4M or AVI".into())
        })?;
        Ok(Self {
            rate: demuxer.rate().filter(|r| RATES.contains(r)).unwrap_or(rate),
            path: path.to_owned(),
            demuxer,
            start,
            pacer,
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
            })),
            Ok(Sample::Empty | Sample::End) => Ok(SourceEvent::Idle),
            Err(DemuxError::InvalidFrame(reason)) => Err(SourceError::InvalidFrame {
                frame: self.frame_name(),
                reason,
            }),
            Err(DemuxError::Unsupported(reason)) => {
                self.ended = true;
                Err(unsupported(&self.path, reason))
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
