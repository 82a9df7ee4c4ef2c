//! The files of a clip: a video `NAME.avi`, or `NAME.mkv` of a stream, and its description `NAME.json`.

use crate::time::MonotonicTimestamp;
use flukewatch_common::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use uuid::Uuid;

/// What is known of a clip besides its frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipDescription {
    /// The camera's name.
    pub camera: String,
    /// Random: timestamps of different runs of the program are unrelated.
    pub session: Uuid,
    /// When the first frame was taken, RFC 3339 UTC, by the best clock at that time.
    pub started: String,
    /// The same by the monotonic clock, as in the recordings of its encounters.
    pub first_frame: MonotonicTimestamp,
    /// When each frame was taken, in milliseconds after the first. An AVI plays them at their mean rate.
    pub frames: Vec<u32>,
    /// The size of the frames.
    pub width: u32,
    /// The size of the frames.
    pub height: u32,
    /// The outbox's clock when the clip was written, in milliseconds; it ages by that.
    pub written: i64,
}

impl ClipDescription {
    /// When the first frame was taken; `None` where that is not a valid time.
    pub fn started_at(&self) -> Option<Timestamp> {
        let started: jiff::Timestamp = self.started.parse().ok()?;
        Some(Timestamp(started.as_millisecond()))
    }
}

/// A clip that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// A file cannot be read or written.
    #[error("cannot use the clip {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A frame is not a JPEG image.
    #[error("a frame of the clip {} is not a JPEG image", .0.display())]
    Frame(PathBuf),
    /// There is a description without a video.
    #[error("the video of {} is missing", .0.display())]
    NoVideo(PathBuf),
    /// The description is damaged.
    #[error("the description {} is invalid: {source}", .path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl ClipError {
    pub(super) fn file(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
