//! Where frames come from.

mod cameras;
pub mod film;
mod pictures;
mod recycle;
mod sidecar;
mod ticker;

pub use cameras::{Cameras, Feed};
pub use film::Film;
pub use pictures::PictureFiles;
pub use recycle::{Buffers, Recycled};
pub use sidecar::Sidecar;
pub use ticker::{RealTime, Ticker, Unpaced};

use crate::frame::Frame;
use crate::time::Moment;
use std::path::{Path, PathBuf};

/// What a source has to give.
#[derive(Debug)]
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// Nothing for the moment: ask again.
    Quiet,
    /// This one of several cameras will give no more, the others may.
    CameraOver(usize),
    /// There will be no more, because the source is over or was asked to stop.
    Over,
}

impl Next {
    /// The frame, if it is one.
    pub fn frame(self) -> Option<Frame> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::Quiet | Self::CameraOver(_) | Self::Over => None,
        }
    }
}

/// A camera, or what stands in for one.
pub trait FrameSource: Send {
    /// Waits for the next frame, though not for ever.
    ///
    /// # Errors
    /// [`SourceError::Broken`] for one frame that cannot be used: go on with the next. Any other error ends the source.
    fn next(&mut self) -> Result<Next, SourceError>;
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
    /// A film that is none, or of a kind that is not read.
    #[error("the film {} cannot be replayed: {reason}", .path.display())]
    Film {
        /// The film.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A defect of Flukewatch or of what decodes pictures.
    #[error(
        "the thread of camera '{0}' died; this is a defect of flukewatch-edge: please report it with the log"
    )]
    Died(String),
    /// Nothing to replay.
    #[error("there is no .jpg, .jpeg or .png picture in {}", .0.display())]
    Empty(PathBuf),
}

/// What stands in for a camera at `path`: a folder of pictures, a list of them, or, with `films`, a film. Its first frame is taken at
/// `start`; `rate` counts where a film names none.
///
/// # Errors
/// When it cannot be read, or is a film of a kind that is not.
pub fn replay(
    path: &Path,
    films: bool,
    start: Moment,
    rate: f64,
    ticker: Box<dyn Ticker>,
) -> Result<Box<dyn FrameSource>, SourceError> {
    if films && film::is_film(path)? {
        return Ok(Box::new(Film::open(path, start, rate, ticker)?));
    }
    Ok(Box::new(PictureFiles::open(path, start, rate, ticker)?))
}
