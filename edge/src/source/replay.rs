//! Opens a replay: image files or a video in place of a camera.

use super::frame_source::{FrameSource, SourceError};
use super::image_files::ImageFiles;
use super::pacer::Pacer;
use super::video_file::{UNKNOWN_FORMAT, VideoFile};
use crate::cancellation::CancellationToken;
use crate::time::MonotonicTimestamp;
use crate::video::{self, FileKind};
use std::path::Path;

/// Image files or a video in place of a camera.
pub enum Replay {
    /// A folder or list of images.
    Images(ImageFiles),
    /// A video.
    Video(Box<VideoFile>),
}

/// How a replay is played.
pub struct ReplaySettings {
    /// Whether it may be a video.
    pub videos: bool,
    /// When its first frame was taken.
    pub start: MonotonicTimestamp,
    /// The frame rate of images, and of videos that do not state theirs.
    pub rate: f64,
    /// Holds frames back until they are due.
    pub pacer: Box<dyn Pacer>,
    /// Cancels waits for a decoder.
    pub stop: CancellationToken,
}

impl Replay {
    /// Opens the folder of images, the list of images or the video at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is a video of an unsupported format.
    pub fn open(path: &Path, settings: ReplaySettings) -> Result<Self, SourceError> {
        let ReplaySettings {
            videos,
            start,
            rate,
            pacer,
            stop,
        } = settings;
        let kind = video::kind_of(path).map_err(|source| SourceError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let invalid = |reason: &str| SourceError::Video {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        match kind {
            FileKind::FolderOrText => ImageFiles::open(path, start, rate, pacer).map(Self::Images),
            FileKind::Video if videos => {
                let video = VideoFile::open(path, start, rate, pacer, &stop)?;
                Ok(Self::Video(Box::new(video)))
            }
            FileKind::Video => Err(invalid(
                "not a folder or list of images; set source = \"replay\" for a video",
            )),
            FileKind::Unknown => Err(invalid(UNKNOWN_FORMAT)),
        }
    }

    /// Its frames.
    pub fn into_source(self) -> Box<dyn FrameSource> {
        match self {
            Self::Images(images) => Box::new(images),
            Self::Video(video) => video,
        }
    }
}
