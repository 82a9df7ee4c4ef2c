//! Recognises a container by its first bytes.

use super::demuxer::{DemuxError, Demuxer};
use super::foreign::ForeignFormat;
use super::{avi::Avi, mjpeg::Mjpeg, y4m::MAGIC, y4m::Y4m};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Bytes needed to recognise a container: three packets of a transport stream.
const HEAD: u64 = 600;

enum Container {
    Mjpeg,
    Avi,
    Y4m,
    Foreign(ForeignFormat),
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
            ForeignFormat::detect(head).map(Self::Foreign)
        }
    }
}

/// A demuxer for `video`; `None` where it is not a video.
///
/// # Errors
/// When it cannot be read, or is of an unsupported kind of Y4M or AVI; [`DemuxError::Foreign`] where GStreamer
/// may decode it.
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
        Some(Container::Foreign(format)) => return Err(DemuxError::Foreign(format)),
        None => None,
    })
}

/// What a file or folder in place of a camera seems to be, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A video, supported or not.
    Video,
    /// A folder, or text.
    FolderOrText,
    /// Neither text nor a known video.
    Unknown,
}

/// What the file or folder at `path` seems to be.
///
/// # Errors
/// When it cannot be read.
pub fn kind_of(path: &Path) -> io::Result<FileKind> {
    if path.is_dir() {
        return Ok(FileKind::FolderOrText);
    }
    let mut head = vec![];
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    // UTF-16 has zeros too.
    let utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    Ok(if Container::detect(&head).is_some() {
        FileKind::Video
    } else if head.contains(&0) && !utf16 {
        FileKind::Unknown
    } else {
        FileKind::FolderOrText
    })
}
