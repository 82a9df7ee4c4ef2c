//! Recognises a container by its first bytes.

use super::demuxer::{DemuxError, Demuxer};
use super::{avi::Avi, mjpeg::Mjpeg, y4m::MAGIC, y4m::Y4m};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Bytes needed to recognise a container.
const HEAD: u64 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Mjpeg,
    Avi,
    Y4m,
}

impl Container {
    fn detect(head: &[u8]) -> Option<Self> {
        if head.starts_with(MAGIC) {
            Some(Self::Y4m)
        } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
            Some(Self::Avi)
        } else if head.starts_with(&[0xff, 0xd8, 0xff]) {
            Some(Self::Mjpeg)
        } else {
            None
        }
    }
}

/// A demuxer for `video`; `None` where it is not a video.
///
/// # Errors
/// When it cannot be read, or is of an unsupported kind of Y4M or AVI.
pub fn open(
    mut video: impl BufRead + Send + 'static,
) -> Result<Option<Box<dyn Demuxer>>, DemuxError> {
    let mut head = vec![];
    video.by_ref().take(HEAD).read_to_end(&mut head)?;
    let container = Container::detect(&head);
    let video = io::Cursor::new(head).chain(video);
    Ok(match container {
        Some(Container::Mjpeg) => Some(Box::new(Mjpeg::new(video))),
        Some(Container::Avi) => Some(Box::new(Avi::open(video)?)),
        Some(Container::Y4m) => Some(Box::new(Y4m::open(video)?)),
        None => None,
    })
}

/// Whether the file at `path` starts like a video. A folder is not a video.
///
/// # Errors
/// When it cannot be read.
pub fn is_video(path: &Path) -> io::Result<bool> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut head = vec![];
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(Container::detect(&head).is_some())
}
