//! The interface of every source of frames.

use crate::frame::Frame;
use flukewatch_common::sidecar::SidecarError;
use std::path::PathBuf;

/// The next event of a source.
#[derive(Debug)]
pub enum SourceEvent {
    /// The next frame.
    Frame(Frame),
    /// No frame yet; ask again.
    Idle,
    /// One of several cameras has ended; the others go on.
    CameraEnded(usize),
    /// There will be no more frames: the source has ended or was cancelled.
    Ended,
}

impl SourceEvent {
    /// The frame, if it is one.
    pub fn frame(self) -> Option<Frame> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::Idle | Self::CameraEnded(_) | Self::Ended => None,
        }
    }
}

/// A camera, or a replay of recorded frames.
pub trait FrameSource: Send {
    /// Waits for the next frame for a limited time.
    ///
    /// # Errors
    /// [`SourceError::InvalidFrame`] for one frame, after which the source goes on. Any other error
    /// ends it.
    fn next(&mut self) -> Result<SourceEvent, SourceError>;
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// This frame cannot be used; the next may.
    #[error("frame {frame}: {reason}")]
    InvalidFrame {
        /// Index of the camera.
        camera: usize,
        /// The frame's name in logs.
        frame: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file or folder cannot be read.
    #[error("cannot read frames from {}: {source}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A line of a list of images is wrong.
    #[error("{}:{line}: {reason}", .path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The sidecar of an image is malformed.
    #[error(transparent)]
    Sidecar(#[from] SidecarError),
    /// Not a video, or of an unsupported format.
    #[error("cannot replay video {}: {reason}", .path.display())]
    Video {
        /// Path of the video file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An internal error: the camera's thread panicked.
    #[error("internal error: the thread of camera '{0}' panicked; please report it with the log")]
    Panicked(String),
    /// A folder or list without images.
    #[error("no JPEG, PNG, TIFF or WebP images in {}", .0.display())]
    Empty(PathBuf),
}
