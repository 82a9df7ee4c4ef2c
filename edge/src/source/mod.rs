//! Where frames come from.

mod pictures;
mod sidecar;
mod ticker;

pub use pictures::PictureFiles;
pub use sidecar::Sidecar;
pub use ticker::{RealTime, Ticker, Unpaced};

use crate::frame::Frame;
use std::path::PathBuf;

/// A camera, or what stands in for one.
pub trait FrameSource: Send {
    /// Waits for the next frame. `None`: there will be no more, because the source is over or was asked to stop.
    ///
    /// # Errors
    /// [`SourceError::Broken`] for one frame that cannot be used: go on with the next. Any other error ends the source.
    fn next(&mut self) -> Result<Option<Frame>, SourceError>;
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// This frame cannot be used; the next may.
    #[error("frame {frame}: {reason}")]
    Broken {
        /// Its name.
        frame: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder or list cannot be read.
    #[error("cannot read the frames in {}: {source}", .path.display())]
    Unreadable {
        /// The folder or list.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to replay.
    #[error("there is no .jpg, .jpeg or .png picture in {}", .0.display())]
    Empty(PathBuf),
}
