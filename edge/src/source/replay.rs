//! Opens a replay: image files or a video in place of a camera.

use super::frame_source::{FrameSource, SourceError};
use super::image_files::ImageFiles;
use super::pacer::Pacer;
use super::video_file::VideoFile;
use crate::time::MonotonicTimestamp;
use crate::video;
use std::path::Path;

/// Opens the folder of images or the list of images at `path`, or, with `videos`, the video. Its first
/// frame is taken at `start`; `rate` is the frame rate of images, and of videos that do not state theirs.
///
/// # Errors
/// When it cannot be read, or is a video of an unsupported format.
pub fn replay(
    path: &Path,
    videos: bool,
    start: MonotonicTimestamp,
    rate: f64,
    pacer: Box<dyn Pacer>,
) -> Result<Box<dyn FrameSource>, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if videos && video::is_video(path).map_err(unreadable)? {
        return Ok(Box::new(VideoFile::open(path, start, rate, pacer)?));
    }
    Ok(Box::new(ImageFiles::open(path, start, rate, pacer)?))
}
