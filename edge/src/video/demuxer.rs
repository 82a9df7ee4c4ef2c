//! The interface of a demuxer.

use super::foreign::ForeignFormat;
use crate::frame::RawFormat;
use std::io::{self, Read};

/// The largest frame, in bytes.
pub(crate) const MAX_FRAME: usize = 64 << 20;

/// The next sample of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// An image in this format.
    Image(RawFormat),
    /// The time of a frame without an image.
    Empty,
    /// The end of the video.
    End,
}

/// Why a demuxer has no sample.
#[derive(Debug, thiserror::Error)]
pub enum DemuxError {
    /// One frame is damaged; valid ones may follow.
    #[error("{0}")]
    InvalidFrame(String),
    /// Not a video, or of an unsupported format.
    #[error("{0}")]
    Unsupported(String),
    /// A video that is not read here; GStreamer may decode it.
    #[error("unsupported format {0}; expected MJPEG, Y4M, or AVI with MJPEG")]
    Foreign(ForeignFormat),
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl DemuxError {
    pub(crate) fn truncated() -> Self {
        Self::InvalidFrame("the video ends in the middle of a frame".into())
    }
}

/// Reads the samples of a video in order.
pub trait Demuxer: Send {
    /// Appends the next image's bytes to `into`.
    ///
    /// # Errors
    /// [`DemuxError::InvalidFrame`] for one frame, after which reading may continue. Any other error
    /// ends the video.
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Sample, DemuxError>;

    /// Frames per second, where the video states it.
    fn rate(&self) -> Option<f64>;
}

/// Appends at most `length` bytes of `video` to `into`; returns how many there were.
pub(crate) fn read_up_to(
    video: &mut impl Read,
    length: usize,
    into: &mut Vec<u8>,
) -> io::Result<usize> {
    // Memory is allocated for the bytes received, not for those that a header announces.
    video.take(length as u64).read_to_end(into)
}
